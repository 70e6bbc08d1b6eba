"""Patient reading of remote file systems: what passes is tried again, what does not is one line.

Any fsspec file system; of S3, which object stores mostly speak, the errors are known best.
"""

import errno
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from gan_core.errors import ConfigError, GanError, StoreError
from gan_core.secrets import masked

logger = logging.getLogger("gan_core")
Result = TypeVar("Result")
PATIENCE = "GAN_REMOTE_PATIENCE"
DEFAULT_PATIENCE = 120.0  # seconds without progress
SILENCE = 10.0  # seconds after which a connection without a byte is given up
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds; doubled from attempt to attempt
NOTE_EVERY = 10.0  # seconds: of many threads that wait for one server, one says so
LARGEST_BLOCK, SMALLEST_BLOCK = 2**25, 2**18  # bytes read at once; halved where connections are cut
TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
TRANSIENT_CODES = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"}
# Of botocore and aiohttp, which are not imported for their names.
TRANSIENT_ERRORS = {
    "HTTPClientError",
    "ConnectionError",
    "ClientConnectionError",
    "ClientPayloadError",
    "IncompleteReadError",
    "ChecksumError",
    "FlexibleChecksumError",
    "ResponseParserError",
    "FSTimeoutError",
    "IncompleteRead",
}
TRANSIENT_NUMBERS = {errno.EIO, errno.EBUSY, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"}
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_last_note = -NOTE_EVERY
_note_lock = threading.Lock()


class RemoteFiles:
    """The files at a URL, as fsspec's file system has them, read with patience.

    An error that may pass (5xx, time-outs, connections that are refused or cut, damaged bodies) is said once
    and tried again with growing pauses, up to `GAN_REMOTE_PATIENCE` seconds without progress (120). Then, and
    at once where trying again cannot help, an error of the class `failure` names the file, the cause and the
    remedy. What is not there is a `FileNotFoundError`, as ever.

    Methods that are called as those of fsspec's file systems do what these do. `root` is the URL's path.
    """

    def __init__(self, url: str, failure: type[GanError] = StoreError):
        self.url, self.failure = url, failure
        self.patience = _patience()
        self.fs, self.root = fsspec.core.url_to_fs(url, **self._settings())
        if self._is_s3:
            self.fs.retries = 1  # those of s3fs, which says nothing meanwhile

    def __reduce__(self):
        return type(self), (self.url, self.failure)

    @property
    def protocol(self) -> str | tuple[str, ...]:
        return self.fs.protocol

    def cat_file(self, path: str) -> bytes:
        return self._patiently(path, lambda: self.fs.cat_file(path))

    def info(self, path: str) -> dict[str, Any]:
        return self._patiently(path, lambda: self.fs.info(path))

    def exists(self, path: str) -> bool:
        try:
            return bool(self.info(path))
        except ABSENT:
            return False

    def isdir(self, path: str) -> bool:
        return self.exists(path) and self.info(path)["type"] == "directory"

    def ls(self, path: str, detail: bool = True) -> list:
        """As it is now."""
        return self._listing(path, lambda: self.fs.ls(path, detail=detail))

    def find(self, path: str, detail: bool = False) -> list[str] | dict[str, dict]:
        return self._listing(path, lambda: self.fs.find(path, detail=detail))

    def glob(self, path: str) -> list[str]:
        return self._listing(path, lambda: self.fs.glob(path))

    def modified(self, path: str):
        return self._patiently(path, lambda: self.fs.modified(path))

    def unstrip_protocol(self, path: str) -> str:
        return self.fs.unstrip_protocol(path)

    def blocks(self, path: str) -> Iterator[bytes]:
        """A file's content from its beginning to its end; only the block that fails is read again."""
        size, place, length = self.info(path).get("size"), 0, LARGEST_BLOCK
        if size is None:
            yield self.cat_file(path)
            return

        def read() -> bytes:
            nonlocal length
            end = min(place + length, size)
            length = max(SMALLEST_BLOCK, length // 2)  # unless this one succeeds
            block = self.fs.cat_file(path, start=place, end=end)
            if len(block) != end - place:
                raise _Incomplete(f"{len(block):,} of {end - place:,} bytes arrived")
            length = end - place
            return block

        while place < size:
            block = self._patiently(path, read)
            place += len(block)
            yield block

    def copy(self, path: str, target: Path, advance: Callable[[int], None] = lambda count: None) -> None:
        """Write a file's content to a local path; `advance` is told of every block's length in bytes."""
        with open(target, "wb") as file:
            for block in self.blocks(path):
                file.write(block)
                advance(len(block))

    def sha256(self, path: str) -> str:
        """64 hex digits."""
        digest = hashlib.sha256()
        for block in self.blocks(path):
            digest.update(block)
        return digest.hexdigest()

    @property
    def _is_s3(self) -> bool:
        return self.url.startswith(("s3://", "s3a://"))

    def _settings(self) -> dict[str, Any]:
        """So that every attempt ends soon, and the retries are those made here."""
        if not self._is_s3:
            return {}
        silence = min(SILENCE, self.patience)
        return {
            "config_kwargs": {
                "connect_timeout": silence,
                "read_timeout": silence,
                "retries": {"total_max_attempts": 1},
            },
            "max_concurrency": 1,  # more would ask for the size of everything first
            "use_listings_cache": False,
        }

    def _listing(self, path: str, list_now: Callable[[], Result]) -> Result:
        self.fs.invalidate_cache(path)
        return self._patiently(path, list_now)

    def _patiently(self, path: str, operation: Callable[[], Result]) -> Result:
        began, pause, tried = time.monotonic(), FIRST_PAUSE, False
        while True:
            try:
                return operation()
            except Exception as error:
                if isinstance(error, ABSENT) and _answer(error)[1] != "NoSuchBucket":
                    raise
                left = began + self.patience - time.monotonic()
                if (tried and left <= 0) or not _is_transient(error):
                    raise self._failed(path, error) from error
                self._note(path, error)
            time.sleep(max(0.0, min(pause, left)))
            pause, tried = min(2 * pause, LONGEST_PAUSE), True

    def _note(self, path: str, error: Exception) -> None:
        global _last_note
        with _note_lock:
            if time.monotonic() - _last_note < NOTE_EVERY:
                return
            _last_note = time.monotonic()
        logger.warning(
            "%s: %s; trying again for up to %.0f s", self._address(path), _reason(error), self.patience
        )

    def _failed(self, path: str, error: Exception) -> GanError:
        tried = f" (tried for {self.patience:.0f} s)" if _is_transient(error) else ""
        return self.failure(
            f"{self._address(path)} cannot be read: {_reason(error)}{tried}: {self._remedy(error)}"
        )

    def _address(self, path: str) -> str:
        return masked(self.fs.unstrip_protocol(path))

    def _remedy(self, error: Exception) -> str:
        status, code = _answer(error)
        names = {kind.__name__ for kind in type(error).__mro__}
        if _is_transient(error):
            check = " and that AWS_ENDPOINT_URL is right" if self._is_s3 else ""
            return f"see that the service can be reached{check}, then run again"
        if not self._is_s3:
            return "mend the connection or the rights, or name another place"
        if "NoCredentialsError" in names or "PartialCredentialsError" in names:
            return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        if code in EXPIRED or (status, code) == (400, "400"):  # an answer to HEAD has no better code
            return "the credentials may have expired: renew them (AWS_SESSION_TOKEN and its keys)"
        if code == "NoSuchBucket":
            return "create the bucket, or name another one"
        return "give the credentials the right to read it, or use others (AWS_PROFILE, AWS_ACCESS_KEY_ID)"


class _Incomplete(Exception):
    """Less arrived than was asked for."""


def _patience() -> float:
    given = os.environ.get(PATIENCE) or DEFAULT_PATIENCE
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"the environment variable {PATIENCE} is `{given}`: give a number of seconds")
    return seconds


def _is_transient(error: Exception) -> bool:
    status, code = _answer(error)
    if status is not None:
        return status in TRANSIENT_STATUS or code in TRANSIENT_CODES
    if isinstance(error, PermissionError):
        return False
    if isinstance(error, TimeoutError | ConnectionError | _Incomplete):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & TRANSIENT_ERRORS) or getattr(error, "errno", None) in TRANSIENT_NUMBERS


def _reason(error: Exception) -> str:
    """The status and code that the server answered with, and its words."""
    status, code = _answer(error)
    words = str(error) or type(error).__name__
    known = [str(part) for part in (status, code) if part and str(part) not in words]
    return " ".join([*dict.fromkeys(known), f"({words})" if known else words])


def _answer(error: BaseException | None) -> tuple[int | None, str]:
    """The HTTP status and the error code of the server's answer; s3fs keeps botocore's error as the cause."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode"), code
        if isinstance(status := getattr(error, "status", None), int):
            return status, ""
        error = error.__cause__
    return None, ""
