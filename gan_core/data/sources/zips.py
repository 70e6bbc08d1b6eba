"""Zip archives, read in place."""

import os
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gan_core.data.sources.files import ArchiveFiles, FileTable, check_size, file_signature

UTF8_FLAG = 0x800  # of a member: its name is UTF-8 (APPNOTE.TXT 4.4.4)
ENCRYPTED_FLAG = 0x1
HEADER = struct.Struct("<4s22x2H")  # signature, lengths of name and extra field (APPNOTE.TXT 4.3.7)


class ZipFiles(ArchiveFiles):
    """A zip, whose members are read in place and never unpacked, so that their names can do no harm."""

    def table(self) -> FileTable:
        return self._open().table

    def _open(self) -> "_Zip":
        return _open_zip(str(self.path), *file_signature(self.path))

    def _read(self, name: str) -> bytes:
        opened = self._open()
        size, packed, offset, crc, method, position = opened.table.numbers(name)
        check_size(max(size, packed))
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return _read_by_zipfile(self.path, position, size)
        content = _packed(opened.file.fileno(), offset, packed)
        if method == zipfile.ZIP_DEFLATED:
            # One byte more than there should be, so that a member that grows further is not read whole.
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
        if len(content) != size or zlib.crc32(content) != crc:
            raise zipfile.BadZipFile("its content is not what the archive's table says")
        return content


class _Zip(NamedTuple):
    file: BinaryIO
    table: FileTable


@lru_cache(maxsize=8)
def _open_zip(path: str, size: int, mtime: int) -> _Zip:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    rows = (
        (_name(m), m.file_size, m.compress_size, m.header_offset, m.CRC, _method(m), position)
        for position, m in enumerate(members)
        if not m.is_dir()
    )
    return _Zip(open(path, "rb"), FileTable(rows, []))  # noqa: SIM115 (as long as it is in the cache)


def _name(member: zipfile.ZipInfo) -> str:
    """The member's name; Info-ZIP stores UTF-8 without the flag for it, which zipfile reads as cp437."""
    if member.flag_bits & UTF8_FLAG:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _method(member: zipfile.ZipInfo) -> int:
    return -1 if member.flag_bits & ENCRYPTED_FLAG else member.compress_type


def _packed(file: int, offset: int, size: int) -> bytes:
    """The bytes of a member as they are stored, by what its own header says of its own length."""
    header = os.pread(file, HEADER.size, offset)
    if len(header) < HEADER.size or not header.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile("it is not where the archive's table says")
    _, name, extra = HEADER.unpack(header)
    return os.pread(file, size, offset + HEADER.size + name + extra)


def _read_by_zipfile(path: Path, position: int, size: int) -> bytes:
    """A member that is encrypted (an error) or compressed in another way than nearly all are."""
    archive = _whole_zip(str(path), *file_signature(path))
    with archive.open(archive.infolist()[position]) as file:
        return file.read(size)


@lru_cache(maxsize=1)
def _whole_zip(path: str, size: int, mtime: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
