"""The files at a location: a folder or an archive, on this machine or at any fsspec URL."""

import abc
import hashlib
import json
import logging
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import requests
from fsspec.implementations.local import LocalFileSystem

from gan_core.data.download import download
from gan_core.data.local_files import copy_with_progress, make_once
from gan_core.errors import SourceError

logger = logging.getLogger("gan_core")
COMPRESSED_TARS = {
    ".tar.gz": "gzip",
    ".tgz": "gzip",
    ".tar.bz2": "bz2",
    ".tbz2": "bz2",
    ".tar.xz": "xz",
    ".txz": "xz",
}
ARCHIVES = (".zip", ".tar", *COMPRESSED_TARS)
UTF8_FLAG = 0x800  # of a zip member: its name is UTF-8 (APPNOTE.TXT 4.4.4)
# What file systems call the things that change with a file's content.
VERSION_FIELDS = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "updated", "md5Hash")
# What zipfile, tarfile and file systems raise where a file is damaged, encrypted, packed oddly or gone.
DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)


class Files(abc.ABC):
    """Named files that can be read in any order, by several threads and (pickled) several processes."""

    location: str
    remote = False

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Relative names with `/`, sorted, without hidden files and what macOS adds to archives."""

    @abc.abstractmethod
    def signature(self) -> Any:
        """Sizes and times (or ETags) of what is there, as JSON."""

    @abc.abstractmethod
    def _read(self, name: str) -> bytes: ...

    def read(self, name: str) -> bytes:
        """A file's content; raises `SourceError` if it is gone or its archive is damaged."""
        try:
            return self._read(name)
        except (*DAMAGE, KeyError) as error:
            raise SourceError(
                f"{self.location}: `{name}` cannot be read: {type(error).__name__}: {error}; "
                "mend or replace the source and materialise raw_images again"
            ) from error


class FolderFiles(Files):
    """A folder of any fsspec file system."""

    def __init__(self, location: str, fs: fsspec.AbstractFileSystem, root: str):
        self.location, self.fs, self.root = location, fs, root.rstrip("/")
        self.remote = not is_local(fs)
        self.found: dict[str, dict] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "found": {}}  # a worker reads by name and needs no listing

    def names(self) -> list[str]:
        self._list()
        return sorted(self.found)

    def signature(self) -> Any:
        self._list()
        versions = [[name, version_of(info)] for name, info in sorted(self.found.items())]
        return hashlib.sha256(json.dumps(versions).encode()).hexdigest()

    def _read(self, name: str) -> bytes:
        return self.fs.cat_file(f"{self.root}/{name}")

    def _list(self) -> None:
        if not self.found:
            listed = self.fs.find(self.root, detail=True)
            named = {path[len(self.root) + 1 :]: info for path, info in listed.items()}
            self.found = {name: info for name, info in named.items() if _is_visible(name)}


class ArchiveFiles(Files):
    """An archive on this machine. `origin` is the archive that it was made from, for messages."""

    def __init__(self, path: Path, origin: str):
        self.path, self.location = path, origin
        try:
            self.index()
        except DAMAGE as error:
            raise SourceError(
                f"{origin} cannot be opened as an archive: {error}; it is damaged or not complete: replace it"
            ) from error

    @abc.abstractmethod
    def index(self) -> Any:
        """The archive's table of contents, read once a process."""

    def signature(self) -> Any:
        return file_signature(self.path)


class ZipFiles(ArchiveFiles):
    """A zip, whose members are read in place and never unpacked, so that their names can do no harm."""

    def index(self) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        return _index_zip(str(self.path), *file_signature(self.path))

    def names(self) -> list[str]:
        _, members = self.index()
        return sorted(name for name in members if _is_visible(name))

    def _read(self, name: str) -> bytes:
        archive, members = self.index()
        return archive.read(members[name])


class TarFiles(ArchiveFiles):
    """An uncompressed tar, read in place through an index of offsets.

    fsspec's tar file system finds a member by walking over all of them and shares one file position between
    threads: with 50,000 members that takes hours, or goes wrong.
    """

    def index(self) -> dict[str, tuple[int, int]]:
        return _index_tar(str(self.path), *file_signature(self.path))

    def names(self) -> list[str]:
        return sorted(name for name in self.index() if _is_visible(name))

    def _read(self, name: str) -> bytes:
        offset, size = self.index()[name]
        with open(self.path, "rb") as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) < size:
            raise EOFError(f"{len(content):,} of {size:,} bytes")
        return content


def open_files(location: str, cache: Path, emit: Callable[[str], None] = logger.info) -> Files:
    """The files of a folder or archive at a path or fsspec URL.

    A remote archive is copied to `cache` once, a compressed tar decompressed there once, so that images can
    be read in any order. Raises `SourceError` if there is nothing, or something else.
    """
    fs, path = resolve(location)
    if _name(path).lower().endswith(ARCHIVES):
        return _open_archive(fetch(location, cache, emit), location, cache, emit)
    if fs.isdir(path):
        return FolderFiles(location, fs, path)
    raise SourceError(
        f"{location} is neither a folder nor an archive whose name ends in {', '.join(ARCHIVES)}: "
        "name one of these as the dataset's source"
    )


def resolve(location: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and path of a location; raises `SourceError` if nothing is there."""
    try:
        fs, path = fsspec.core.url_to_fs(os.path.expanduser(location))
        there = _is_web(location) or fs.exists(path)
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{location} cannot be reached: {error}; check the dataset's source") from error
    if not there:
        raise SourceError(f"{location} does not exist: check the path of the dataset's source")
    return fs, path


def fetch(location: str, cache: Path, emit: Callable[[str], None]) -> Path:
    """A local path of one file: the file itself, or its copy in the cache, made once a version."""
    fs, path = resolve(location)
    if is_local(fs):
        return Path(path)
    name = _name(path)
    version = _web_version(location) if _is_web(location) else version_of(fs.info(path))
    digest = hashlib.sha256(json.dumps([location, version]).encode()).hexdigest()[:16]
    target = cache / "remote" / digest / name
    if _is_web(location):
        return download(location, target, emit=emit)

    def copy(temporary: Path) -> None:
        with fs.open(path, "rb") as file:
            total = fs.info(path)["size"] or 0
            copy_with_progress(file, temporary, total, f"copying {location}", emit)

    return make_once(target, copy, emit)


def file_signature(path: Path) -> tuple[int, int]:
    """Size and time of change (nanoseconds) of a local file."""
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


def version_of(info: dict) -> list:
    """The fields of a file system's answer that change with a file's content."""
    return [[field, str(info[field])] for field in VERSION_FIELDS if field in info]


def is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return isinstance(fs, LocalFileSystem)


def _open_archive(path: Path, location: str, cache: Path, emit: Callable[[str], None]) -> Files:
    lower = path.name.lower()
    if lower.endswith(".zip"):
        return ZipFiles(path, location)
    suffix = next((suffix for suffix in COMPRESSED_TARS if lower.endswith(suffix)), None)
    return TarFiles(_decompressed(path, suffix, cache, emit) if suffix else path, location)


def _decompressed(path: Path, suffix: str, cache: Path, emit: Callable[[str], None]) -> Path:
    digest = hashlib.sha256(json.dumps([str(path), *file_signature(path)]).encode()).hexdigest()[:16]
    target = cache / "decompressed" / f"{path.name[: -len(suffix)]}-{digest}.tar"

    def decompress(temporary: Path) -> None:
        try:
            with fsspec.open(str(path), "rb", compression=COMPRESSED_TARS[suffix]) as file:
                copy_with_progress(file, temporary, 0, f"decompressing {path.name}", emit)
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise _damaged(path, error) from error
        except OSError as error:
            if error.errno is None:  # gzip and bz2 report damage so; a full disk has a number
                raise _damaged(path, error) from error
            raise

    return make_once(target, decompress, emit)


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path} cannot be decompressed: {error}; it is damaged or not complete: replace it")


@lru_cache(maxsize=8)
def _index_zip(path: str, size: int, mtime: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    archive = zipfile.ZipFile(path)  # reads of several threads are kept apart by its own lock
    return archive, {_zip_name(m): m for m in archive.infolist() if not m.is_dir()}


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The member's name; Info-ZIP stores UTF-8 without the flag for it, which zipfile reads as cp437."""
    if member.flag_bits & UTF8_FLAG:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


@lru_cache(maxsize=8)
def _index_tar(path: str, size: int, mtime: int) -> dict[str, tuple[int, int]]:
    with tarfile.open(path, "r:") as tar:
        members = [m for m in tar if m.isreg() and not m.issparse()]
    return {m.name.removeprefix("./"): (m.offset_data, m.size) for m in members}


def _is_visible(name: str) -> bool:
    parts = name.split("/")
    return not any(part.startswith(".") and part not in (".", "..") or part == "__MACOSX" for part in parts)


def _name(path: str) -> str:
    """The last part of a path or web address, without what follows a `?`."""
    without_query = path.partition("?")[0] if _is_web(path) else path
    return without_query.rstrip("/").rpartition("/")[2]


def _is_web(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def _web_version(url: str) -> list:
    """What the server says of the file's version; nothing where it does not answer HEAD requests."""
    try:
        response = requests.head(url, allow_redirects=True, timeout=(10, 60))
    except requests.RequestException as error:
        raise SourceError(f"{url} cannot be reached: {error}; check the dataset's source") from error
    fields = ("ETag", "Last-Modified", "Content-Length")
    return [response.headers.get(field) for field in fields] if response.ok else []
