"""The copies of a remote store's files on this machine, and how many bytes they may take."""

import contextlib
import logging
import os
import time
from pathlib import Path

from pydantic import ByteSize, TypeAdapter, ValidationError

from gan_core.errors import ConfigError

logger = logging.getLogger("gan_core")
CACHE_LIMIT = "GAN_CACHE_LIMIT"
# Who asked for a copy may be about to open it: a shard waits for a decoder, a weight for its network.
IN_USE_SECONDS = 600.0


def bytes_of_environment(variable: str) -> int | None:
    """A size such as `500MB` in an environment variable; None where it is not set.

    Raises `ConfigError` for anything else.
    """
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError as error:
        raise ConfigError(
            f"the environment variable {variable} is `{value}`: give a size such as 500MB or 8GB"
        ) from error


def use(copy: Path) -> bool:
    """Note that a copy is used now; whether there is one."""
    with contextlib.suppress(OSError):  # a cache that may only be read
        os.utime(copy)
    return copy.exists()


def make_room(folder: Path, size: int) -> None:
    """Remove the copies in `folder` that were not used for longest, until `size` more bytes are within
    `GAN_CACHE_LIMIT`.

    Those of the last ten minutes stay, as a process may be about to read them; where they are more than the
    limit, a warning says so. Several processes may do this at once. Raises `ConfigError` for a limit that is
    no size.
    """
    limit = bytes_of_environment(CACHE_LIMIT)
    if limit is None:
        return
    copies = sorted(_copies(folder), key=lambda copy: copy[1].st_mtime)
    together = size + sum(status.st_size for _, status in copies)
    for path, status in copies:
        if together <= limit or _in_use(path):
            break
        path.unlink(missing_ok=True)
        together -= status.st_size
    if together > limit:
        logger.warning(
            "the copies in %s take %s bytes, more than %s allows: what was used in the last %.0f minutes "
            "stays",
            *(folder, f"{together:,}", CACHE_LIMIT, IN_USE_SECONDS / 60),
        )


def _in_use(copy: Path) -> bool:
    try:
        return time.time() - copy.stat().st_mtime < IN_USE_SECONDS
    except FileNotFoundError:  # another process made room
        return False


def _copies(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                found.append((path, path.stat()))
        except FileNotFoundError:
            continue
    return found
