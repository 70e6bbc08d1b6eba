"""Tar archives, read in place, every header of them."""

import itertools
import os
import posixpath
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from gan_core.data.sources.files import ArchiveFiles, FileTable, check_size, file_signature, shown

BLOCK = tarfile.BLOCKSIZE
LARGEST_HEADER = 2**20  # bytes of a long name or of a pax header


class TarFiles(ArchiveFiles):
    """An uncompressed tar, read in place through a table of offsets.

    It is read strictly: `tarfile` takes a damaged header, a missing end or a page of zeros for the archive's
    end and says nothing of what comes after. Here each is damage. What no reader can see is a page of zeros
    that covers whole members up to the archive's end, and a changed byte in a name longer than 100 bytes.

    fsspec's tar file system finds a member by walking over all of them and shares one file position between
    threads: with 50,000 members that takes hours, or goes wrong.
    """

    def table(self) -> FileTable:
        return self._open().table

    def _open(self) -> "_Tar":
        return _open_tar(str(self.path), *file_signature(self.path))

    def _read(self, name: str) -> bytes:
        opened = self._open()
        size, offset = opened.table.numbers(name)
        check_size(size)
        if offset in opened.sparse:
            return _read_sparse(opened.file, offset, size, opened.sparse[offset])
        return _read_at(opened.file, offset, size)


class _Tar(NamedTuple):
    file: BinaryIO
    table: FileTable
    sparse: dict[int, list[tuple[int, int]]]  # (place, size) of what is not zero, by a member's offset


class _Bounded:
    """A file for `tarfile`, which reads a long name or a pax header whole, however long it says it is."""

    def __init__(self, file: BinaryIO):
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes at byte {self.tell():,}")
        return self.file.read(size)


@lru_cache(maxsize=8)
def _open_tar(path: str, size: int, mtime: int) -> _Tar:
    file = open(path, "rb")  # noqa: SIM115 (as long as it is in the cache)
    links: dict[str, str] = {}
    sparse: dict[int, list[tuple[int, int]]] = {}
    problems: list[tuple[str, str]] = []

    def rows() -> Iterator[tuple[str, int, int]]:
        for member in _members(file, size):
            name = member.name.removeprefix("./")
            if member.issparse():
                sparse[member.offset_data] = member.sparse
            if member.isreg():
                yield name, member.size, member.offset_data
            elif member.islnk():
                links[name] = member.linkname.removeprefix("./")
            elif member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif not member.isdir():
                problems.append((shown(name), "a pipe, a device or of a type that is not known"))

    table = FileTable(rows(), problems)
    if links:
        linked = _linked(links, table)
        table = FileTable(itertools.chain(table.rows(), linked), table.problems)
    return _Tar(file, table, sparse)


def _members(file: BinaryIO, size: int) -> Iterator[tarfile.TarInfo]:
    """Every member up to the archive's end; raises `tarfile.TarError` where something is damaged."""
    bounded = _Bounded(file)
    tar = tarfile.TarFile(fileobj=bounded, encoding="utf-8", errors="surrogateescape")
    place = 0
    while True:
        file.seek(place)
        try:
            member = tarfile.TarInfo.fromtarfile(tar)
        except tarfile.EOFHeaderError:
            break
        except tarfile.EmptyHeaderError:
            raise tarfile.ReadError("it ends without a tar's end: it is cut off") from None
        except (tarfile.HeaderError, IndexError, KeyError, ValueError) as error:
            raise tarfile.ReadError(f"a damaged header at byte {place:,} ({error})") from error
        if tar.offset <= place or _end(member) > size:
            raise tarfile.ReadError(f"it ends within `{shown(member.name)}`: it is cut off")
        place = tar.offset
        yield member
    _check_end(file, place, size)


def _end(member: tarfile.TarInfo) -> int:
    """Where a member's content ends."""
    if not member.isreg():
        return member.offset_data
    stored = sum(length for _, length in member.sparse) if member.issparse() else member.size
    return member.offset_data + stored


def _check_end(file: BinaryIO, place: int, size: int) -> None:
    """Two blocks of zeros or more, and nothing else, end a tar."""
    if size - place < 2 * BLOCK:
        raise tarfile.ReadError("it ends without a tar's end: it is cut off")
    file.seek(place)
    while block := file.read(2**20):
        if block.count(0) != len(block):
            raise tarfile.ReadError(
                f"there is more after what looks like its end at byte {place:,}: it is damaged, or several "
                "tars in one file"
            )


def _linked(links: dict[str, str], table: FileTable) -> Iterator[tuple[str, int, int]]:
    """The rows of links to members, which have the content of these."""
    for name, target in links.items():
        for _ in range(len(links)):  # a link to a link; a chain that is longer is a ring
            target = links.get(target, target)
        try:
            yield name, *table.numbers(target)
        except KeyError:
            reason = f"a link to `{shown(target)}`, which is not in the archive"
            table.problems.append((shown(name), reason))


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    content = os.pread(file.fileno(), size, offset)
    if len(content) < size:
        raise EOFError(f"{len(content):,} of {size:,} bytes")
    return content


def _read_sparse(file: BinaryIO, offset: int, size: int, parts: list[tuple[int, int]]) -> bytes:
    content = bytearray(size)
    for place, length in parts:
        if place + length > size:
            raise EOFError(f"a part that ends at {place + length:,} of {size:,} bytes")
        content[place : place + length] = _read_at(file, offset, length)
        offset += length
    return bytes(content)
