"""Named files at one place, and the table of what is there."""

import abc
import itertools
import os
import struct
import tarfile
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gan_core.errors import SourceError
from gan_core.limits import largest_file_bytes

# What zipfile, tarfile and file systems raise where a file is damaged, encrypted, packed oddly or gone.
DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)


class DamagedError(SourceError):
    """A file is not what its name says, or not all of it."""


class FileTable:
    """Names in their order and whole numbers for each, the first of which is the file's size in bytes.

    A list of names and an array per column take a fifth of the memory of an object per file. `problems` are
    (name, reason) of what is there and cannot be read. Of several rows with one name the last counts; hidden
    files and what macOS adds to archives are no rows.
    """

    def __init__(self, rows: Iterable[tuple], problems: list[tuple[str, str]]):
        names, columns = [], None
        for name, *numbers in rows:
            if not _is_visible(name):
                continue
            if not _is_utf8(name):
                problems.append((shown(name), "its name is not UTF-8: rename it"))
                continue
            names.append(name)
            columns = columns or [array("q") for _ in numbers]
            for column, number in zip(columns, numbers, strict=True):
                column.append(number)
        order = sorted(range(len(names)), key=names.__getitem__)
        last = [
            row
            for row, after in itertools.zip_longest(order, order[1:])
            if after is None or names[row] != names[after]
        ]
        replaced = len(order) - len(last)
        if replaced:
            kept = set(last)
            again = "another file of this name comes later in the archive"
            problems += [(names[row], again) for row in order if row not in kept]
        self.names = [names[row] for row in last]
        self.columns = tuple(array("q", (column[row] for row in last)) for column in columns or [array("q")])
        self.problems = [problem for problem in problems if _is_visible(problem[0])]

    @property
    def sizes(self) -> array:
        return self.columns[0]

    def rows(self) -> Iterator[tuple]:
        return zip(self.names, *self.columns, strict=True)

    def numbers(self, name: str) -> tuple[int, ...]:
        """A file's row; raises `KeyError` if there is none."""
        row = bisect_left(self.names, name)
        if row == len(self.names) or self.names[row] != name:
            raise KeyError(name)
        return tuple(column[row] for column in self.columns)


class Files(abc.ABC):
    """Named files that can be read in any order, by several threads and (pickled) several processes."""

    location: str
    remote = False

    @abc.abstractmethod
    def table(self) -> FileTable:
        """What is there, with relative names with `/`; listed once a process."""

    @abc.abstractmethod
    def signature(self) -> Any:
        """Sizes and times (or ETags) of what is there, as JSON."""

    @abc.abstractmethod
    def _read(self, name: str) -> bytes: ...

    def names(self) -> list[str]:
        """Sorted."""
        return self.table().names

    def read(self, name: str) -> bytes:
        """A file's content; raises `SourceError` if it is gone, too large, or its archive is damaged."""
        try:
            return self._read(name)
        except (*DAMAGE, KeyError) as error:
            raise SourceError(
                f"{self.location}: `{name}` cannot be read: {type(error).__name__}: {error}; "
                "mend or replace the source, then make the dataset's raw_images again"
            ) from error


class ArchiveFiles(Files):
    """An archive on this machine. `origin` is the archive that it was made from, for messages."""

    def __init__(self, path: Path, origin: str):
        self.path, self.location = path, origin
        try:
            self.table()
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise SourceError(f"{origin} cannot be opened: {error}") from error
            raise DamagedError(
                f"{origin} cannot be opened as an archive: {error}; it is damaged or not complete: replace it"
            ) from error

    def signature(self) -> Any:
        return file_signature(self.path)


def check_size(size: int) -> None:
    """Raise `EOFError` for a file that is larger than one image may be: it is not read."""
    if reason := too_large(size):
        raise EOFError(reason)


def too_large(size: int) -> str:
    """Why a file of this many bytes is not read; nothing if it is."""
    limit = largest_file_bytes()
    return f"{size:,} bytes are more than GAN_MAX_IMAGE_MB={limit / 2**20:g} allows" if size > limit else ""


def file_signature(path: Path) -> tuple[int, int]:
    """Size and time of change (nanoseconds) of a local file."""
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


def shown(name: str) -> str:
    """A name for messages: bytes that are not UTF-8 as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_utf8(name: str) -> bool:
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:  # a name that Python read with surrogateescape
        return False


def _is_visible(name: str) -> bool:
    if not (name.startswith(("._", ".", "__MACOSX")) or "/." in name or "/__MACOSX" in name):
        return True
    parts = name.split("/")
    return not any(part.startswith(".") and part not in (".", "..") or part == "__MACOSX" for part in parts)
