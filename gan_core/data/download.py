"""Download a file over HTTP so that what bears its name is whole: resumed, checked, renamed at the end."""

import contextlib
import errno
import hashlib
import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import requests

from gan_core.data.local_files import locked
from gan_core.durable import replace_durably
from gan_core.errors import SourceError
from gan_core.progress import Progress
from gan_core.secrets import masked

logger = logging.getLogger("gan_core")
TIMEOUT = (10, 60)  # seconds to connect, and between two packets
ATTEMPTS = 6  # in a row without a new byte
FIRST_PAUSE = 1.0  # seconds; doubled after each attempt without a new byte
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
HEAD_TIMEOUT = (10, 15)
BLOCK = 2**16  # what is lost at most when a connection ends


class _Transient(Exception):
    """Something that another attempt may mend."""


TRANSIENT_ERRORS = (
    _Transient,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    expected_size: int | None = None,
    instead: str = "",
    emit: Callable[[str], None] = logger.info,
) -> Path:
    """Fetch `url` into `target` unless it is there; return `target`.

    Bytes go to `<target>.part`, which a later call continues (HTTP Range with If-Range, RFC 9110 section
    14). Lost connections and server errors are retried with growing pauses, at most `ATTEMPTS` in a row
    without progress. Size and checksum are verified before the file gets its name. `instead` tells the user
    what to do where the server refuses.

    Raises `SourceError` when the server refuses, the disk is full, or the content is not what it should be
    (which is then deleted).
    """
    target = Path(target)
    if target.exists():
        return target
    with locked(target, emit):
        if target.exists():  # another process was faster
            return target
        transfer = _Transfer(url, target, instead, emit)
        transfer.run(expected_size, checked=bool(sha256 or md5))
        _verify(transfer.part, url, target, sha256=sha256, md5=md5, expected_size=expected_size)
        replace_durably(transfer.part, target)
        transfer.validator_file.unlink(missing_ok=True)
    emit(f"downloaded {masked(url)} to {target} ({target.stat().st_size:,} bytes)")
    return target


class _Transfer:
    """One file's way from a server into its `.part` file, over as many connections as it needs."""

    def __init__(self, url: str, target: Path, instead: str, emit: Callable[[str], None]):
        self.url, self.target, self.emit = url, target, emit
        self.shown = masked(url)
        self.instead = instead or f"download it by hand and save it as {target}"
        self.part = target.with_name(f"{target.name}.part")
        # The server's name for this version of the file: only the same version may be continued.
        self.validator_file = target.with_name(f"{target.name}.part.etag")
        self.progress: Progress | None = None

    def run(self, expected_size: int | None, checked: bool) -> None:
        """Fill the part file. `checked`: a checksum will tell whether what is continued fits."""
        failures, pause = 0, FIRST_PAUSE
        while True:
            before = self._have()
            try:
                self._connect(expected_size, checked)
                return
            except TRANSIENT_ERRORS as error:
                reason = error
            except requests.RequestException as error:
                raise SourceError(f"{self.shown}: {error}. Instead, {self.instead}") from error
            if self._have() > before:
                failures, pause = 0, FIRST_PAUSE
            failures += 1
            if failures >= ATTEMPTS:
                raise SourceError(
                    f"{self.shown}: {reason}; gave up after {failures} attempts without a new byte "
                    f"({self._have():,} bytes are kept in {self.part}). Run again to continue, or "
                    f"{self.instead}"
                ) from reason
            self.emit(f"{self.shown}: {reason}; trying again in {pause:.0f} s from byte {self._have():,}")
            time.sleep(pause)
            pause *= 2

    def _connect(self, expected_size: int | None, checked: bool) -> None:
        """One request. Returns when the file is complete; raises `_Transient` when another may help."""
        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        validator = self._validator()
        if have and validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        elif have and checked:
            headers |= {"Range": f"bytes={have}-"}
        with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # nothing is left to send, or the file has changed
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                if total == str(have):
                    return
                self._start_over()
                raise _Transient("the file on the server has changed")
            self._refuse(response)
            start = self._first_byte(response)
            if start not in (0, have):
                raise _Transient(f"the server sent bytes from {start:,} on instead of from {have:,} on")
            length = self._length(response)
            total = None if length is None else start + length
            self._require_space((total or expected_size or 0) - start)
            self._remember(response)
            self._write(response, start, total or expected_size)
        if total is not None and self._have() < total:
            raise _Transient(f"the connection ended after {self._have():,} of {total:,} bytes")

    def _write(self, response: requests.Response, start: int, total: int | None) -> None:
        if self.progress is None or self.progress.done > start:
            task = f"downloading {self.target.name}"
            self.progress = Progress(task, total, "bytes", start=start, emit=self.emit)
        try:
            with open(self.part, "r+b" if start else "wb") as file:
                file.seek(start)
                for block in response.iter_content(BLOCK):
                    file.write(block)
                    self.progress.advance(len(block))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._disk_full() from error
            raise

    def _refuse(self, response: requests.Response) -> None:
        if response.status_code in TRANSIENT:
            raise _Transient(f"the server answered {response.status_code} {response.reason}")
        if response.status_code not in (200, 206):
            raise SourceError(
                f"{self.shown}: the server answered {response.status_code} {response.reason}. "
                f"Instead, {self.instead}"
            )

    def _first_byte(self, response: requests.Response) -> int:
        """Where in the file the response's body begins: 0 where the server ignored the Range."""
        if response.status_code != 206:
            return 0
        found = response.headers.get("Content-Range", "")
        if not re.match(r"bytes \d+-", found):
            raise self._nonsense("Content-Range", found)
        return int(found.removeprefix("bytes ").partition("-")[0])

    def _length(self, response: requests.Response) -> int | None:
        """How many bytes the response's body has, if the server says so."""
        found = response.headers.get("Content-Length")
        if found and not re.fullmatch(r"\d{1,18}", found):
            raise self._nonsense("Content-Length", found)
        return int(found) if found else None

    def _nonsense(self, header: str, value: str) -> SourceError:
        return SourceError(
            f"{self.shown}: the server sent `{header}: {value[:100]}`. Instead, {self.instead}"
        )

    def _require_space(self, needed: int) -> None:
        if needed > shutil.disk_usage(self.target.parent).free:
            raise self._disk_full(needed)

    def _disk_full(self, needed: int | None = None) -> SourceError:
        amount = f"{needed:,} more bytes are needed" if needed else f"{self._have():,} bytes are kept"
        return SourceError(
            f"{self.target.parent}: the disk is full while downloading {self.shown} ({amount}): free space, "
            "or name another folder with GAN_CACHE, and run again to continue"
        )

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _validator(self) -> str | None:
        return self.validator_file.read_text() if self.validator_file.exists() else None

    def _remember(self, response: requests.Response) -> None:
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if validator and not validator.startswith("W/"):  # a weak one does not promise the same bytes
            self.validator_file.write_text(validator)
        else:
            self.validator_file.unlink(missing_ok=True)

    def _start_over(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator_file.unlink(missing_ok=True)


def web_version(url: str) -> list:
    """What the server says of the file's version; nothing where it does not answer HEAD requests."""
    response = _head(url)
    fields = ("ETag", "Last-Modified", "Content-Length")
    return [response.headers.get(field) for field in fields] if response.ok else []


def _head(url: str) -> requests.Response:
    """The answer to a HEAD request, asked for again where another attempt may mend it."""

    def ask() -> requests.Response:
        return requests.head(url, allow_redirects=True, timeout=HEAD_TIMEOUT)

    try:
        for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE):
            with contextlib.suppress(*TRANSIENT_ERRORS):
                if (response := ask()).status_code not in TRANSIENT:
                    return response
            time.sleep(pause)
        return ask()
    except requests.RequestException as error:
        raise SourceError(f"{masked(url)} cannot be reached: {error}; check the dataset's source") from error


def _verify(
    part: Path, url: str, target: Path, *, sha256: str | None, md5: str | None, expected_size: int | None
) -> None:
    """Raise `SourceError`, with the file deleted, unless it is what it should be."""
    problem = None
    size = part.stat().st_size
    if expected_size is not None and size != expected_size:
        problem = f"has {size:,} bytes instead of {expected_size:,}"
    for name, expected in (("sha256", sha256), ("md5", md5)):
        if problem is None and expected is not None:
            with open(part, "rb") as file:
                found = hashlib.file_digest(file, name).hexdigest()
            if found != expected.lower():
                problem = f"has {name} {found} instead of {expected.lower()}"
    if problem is None:
        return
    part.unlink()
    with contextlib.suppress(FileNotFoundError):
        part.with_name(f"{part.name}.etag").unlink()
    raise SourceError(
        f"{target.name}, downloaded from {masked(url)}, is corrupt or not the file that was meant: it "
        f"{problem}. It was deleted: run again, or give a copy that you trust as the dataset's source"
    )
