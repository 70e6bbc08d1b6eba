"""A disk that takes nothing more (full, read-only, forbidden), or a file in the place of a folder: whatever
library met it, one error says so."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from gan_core.errors import GanError, StoreError

REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there or have the quota raised",
    errno.EFBIG: "raise the limit on a file's size (`ulimit -f`)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "mend its permissions",
    errno.EPERM: "mend its permissions",
    errno.EIO: "have the disk looked at",
    errno.EEXIST: "remove the file in the place of the folder",
    errno.ENOTDIR: "remove the file in the place of the folder",
}
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR)
REFUSED = (errno.EACCES, errno.EPERM, errno.EIO)
OF_A_FILE = (*REFUSED, *IN_THE_WAY)
ROOM = 2**16  # bytes: a disk with less is taken for full
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
# How libraries say it whose errors carry no number: Rust's (safetensors), Arrow's, numpy's, SQLite's.
NUMBERED = re.compile(r"(?:os error|errno) (\d+)\b", re.IGNORECASE)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
IN_WORDS = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
    "disk I/O error": errno.EIO,
}


@contextlib.contextmanager
def telling_of_disks(places: Mapping[str, str | os.PathLike]) -> Iterator[None]:
    """Around work that writes: that a disk takes nothing more becomes one `StoreError`, whatever raised it.

    `places` are the local folders that are written to, by the environment variable that names another.
    """
    try:
        yield
    except GanError:
        raise
    except Exception as error:
        told = disk_error(error, places)
        if told is None:
            raise
        raise told from error


def disk_error(error: BaseException, places: Mapping[str, str | os.PathLike]) -> StoreError | None:
    """What to tell where a disk is the cause of an error, or of an error behind it; else None."""
    found = _refusal(error)
    if found is None:
        return None
    number, name = found
    folders = {variable: Path(os.path.abspath(path)) for variable, path in _with_temporary(places).items()}
    path = Path(os.path.abspath(name)) if name else None
    variable = _variable_of(path, folders, number) if path else _narrowest(number, folders)
    if number in OF_A_FILE and (path is None or variable is None):
        return None  # of something else than the places that are written to: a source, say
    place = path or folders.get(variable)
    if number == errno.EIO and place and _free(place) < ROOM:
        number = errno.ENOSPC  # as SQLite may put it
    room = f" ({_room(place)})" if place and number in OUT_OF_SPACE else ""
    another = f"name another place with {variable}" if variable else "choose another place"
    verb = "read or written" if number in REFUSED else "written"
    return StoreError(
        f"{place or 'a file'} cannot be {verb}: {os.strerror(number)}{room}; "
        f"{REMEDIES[number]}, or {another}. What was published before is whole"
    )


def _refusal(error: BaseException | None) -> tuple[int, str | None] | None:
    """The number of the system's error that is this one or behind it, and the file where it says so."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        number = _number(error)
        if number is not None:
            # Of a copy the second is what was to be written.
            name = getattr(error, "filename2", None) or getattr(error, "filename", None)
            return number, os.fsdecode(name) if isinstance(name, str | bytes) else None
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno in REMEDIES:
        if error.errno in IN_THE_WAY:
            return error.errno if _is_a_file(error.filename) else None
        # A bucket's refusals come as the same errors, but name no file.
        return error.errno if error.filename or error.errno not in OF_A_FILE else None
    text = str(error)
    numbered = NUMBERED.search(text)
    if numbered and int(numbered[1]) in REMEDIES.keys() - set(OF_A_FILE):
        return int(numbered[1])
    if isinstance(error, OSError) and SHORT_WRITE.search(text):
        return errno.ENOSPC
    return next((number for words, number in IN_WORDS.items() if words in text), None)


def _is_a_file(name: object) -> bool:
    """Whether a file is where a folder should be: at a path, or further up."""
    return isinstance(name, str | bytes) and not _existing(Path(os.path.abspath(os.fsdecode(name)))).is_dir()


def _with_temporary(places: Mapping[str, str | os.PathLike]) -> dict[str, str | os.PathLike]:
    with contextlib.suppress(FileNotFoundError):  # raised where no temporary folder can be written
        return {**places, "TMPDIR": tempfile.gettempdir()}
    return dict(places)


def _variable_of(path: Path, folders: dict[str, Path], number: int) -> str | None:
    """Which variable names the place that a file is in: the innermost one; or the place that it is in the way
    of."""
    if number in IN_THE_WAY:
        behind = [variable for variable, folder in folders.items() if folder.is_relative_to(path)]
        if behind:
            return behind[0]
    around = {variable: folder for variable, folder in folders.items() if path.is_relative_to(folder)}
    return max(around, key=lambda variable: len(around[variable].parts), default=None)


def _narrowest(number: int, folders: dict[str, Path]) -> str | None:
    """Of an error that names no file: the place that it must be about, as far as one can see."""
    if number == errno.EROFS:
        folders = {variable: folder for variable, folder in folders.items() if _is_read_only(folder)}
    return min(folders, key=lambda variable: _free(folders[variable]), default=None)


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(_existing(path)).f_flag & os.ST_RDONLY)


def _free(path: Path) -> int:
    disk = os.statvfs(_existing(path))
    return disk.f_bavail * disk.f_frsize


def _room(path: Path) -> str:
    disk = os.statvfs(_existing(path))
    if disk.f_files and not disk.f_favail:
        return "it holds as many files as it can"
    return f"{_free(path) / 1e6:,.1f} MB of {disk.f_blocks * disk.f_frsize / 1e6:,.1f} MB are free"


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
