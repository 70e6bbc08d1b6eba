"""The files at a location: a folder or an archive, on this machine or at any fsspec URL."""

import hashlib
import json
import logging
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from gan_core.data.download import download, web_version
from gan_core.data.local_files import copy_with_progress, make_once
from gan_core.data.sources.files import ArchiveFiles, DamagedError, Files, file_signature, shown
from gan_core.data.sources.folders import LocalFolder, RemoteFolder, version_of
from gan_core.data.sources.tars import TarFiles
from gan_core.data.sources.zips import ZipFiles
from gan_core.errors import SourceError
from gan_core.progress import Progress
from gan_core.remote import RemoteFiles
from gan_core.secrets import masked

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
FETCHED, DECOMPRESSED = "remote", "decompressed"  # folders of the cache


def open_files(location: str, cache: Path, emit: Callable[[str], None] = logger.info) -> Files:
    """The files of a folder or archive at a path or fsspec URL.

    A remote archive is copied to `cache` once, a compressed tar decompressed there once, so that images can
    be read in any order; a copy that does not open is deleted. Raises `SourceError` if there is nothing, or
    something else.
    """
    fs, path = resolve(location)
    if is_local(fs) and os.path.isdir(path):
        return LocalFolder(location, path)
    if _name(path).lower().endswith(ARCHIVES):
        return _open_archive(fetch(location, cache, emit), masked(location), cache, emit)
    if fs.isdir(path):
        return RemoteFolder(masked(location), fs, path)
    raise SourceError(
        f"{location} is neither a folder nor an archive whose name ends in {', '.join(ARCHIVES)}: "
        "name one of these as the dataset's source"
    )


def file_system(location: str) -> tuple[fsspec.AbstractFileSystem | RemoteFiles, str]:
    """The file system and path of a location; nothing is looked at. Raises what fsspec raises."""
    fs, path = fsspec.core.url_to_fs(os.path.expanduser(location))
    return (fs, path) if is_local(fs) else (RemoteFiles(location, SourceError), path)


def resolve(location: str) -> tuple[fsspec.AbstractFileSystem | RemoteFiles, str]:
    """The file system and path of a location; raises `SourceError` if no file or folder is there."""
    try:
        location.encode()
        fs, path = file_system(location)
        there = _is_web(location) or fs.exists(path)
        mode = os.stat(path).st_mode if there and is_local(fs) else 0
    except UnicodeEncodeError as error:
        raise SourceError(f"{shown(location)}: the name is not UTF-8: rename it") from error
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{location} cannot be reached: {error}; check the dataset's source") from error
    if not there:
        raise SourceError(f"{location} does not exist: check the path of the dataset's source")
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait for its writer
        raise SourceError(
            f"{location} is a pipe, a socket or a device: name a file or a folder as the dataset's source"
        )
    return fs, path


def fetch(location: str, cache: Path, emit: Callable[[str], None]) -> Path:
    """A local path of one file: the file itself, or its copy in the cache, made once a version."""
    fs, path = resolve(location)
    if is_local(fs):
        return Path(path)
    name = _name(path)
    version = web_version(location) if _is_web(location) else version_of(info := fs.info(path))
    digest = hashlib.sha256(json.dumps([masked(location), version]).encode()).hexdigest()[:16]
    target = cache / FETCHED / digest / name
    if _is_web(location):
        return download(location, target, emit=emit)

    def copy(temporary: Path) -> None:
        progress = Progress(f"copying {masked(location)}", info.get("size"), "bytes", emit=emit)
        fs.copy(path, temporary, progress.advance)
        if version_of(fs.info(path)) != version:
            raise SourceError(f"{masked(location)} has changed while it was copied: run again")

    return make_once(target, copy, emit)


def is_local(fs: fsspec.AbstractFileSystem | RemoteFiles) -> bool:
    return isinstance(fs, LocalFileSystem)


def _open_archive(path: Path, location: str, cache: Path, emit: Callable[[str], None]) -> ArchiveFiles:
    lower = path.name.lower()
    opened = path
    try:
        if lower.endswith(".zip"):
            return ZipFiles(path, location)
        suffix = next((suffix for suffix in COMPRESSED_TARS if lower.endswith(suffix)), None)
        opened = _decompressed(path, suffix, location, cache, emit) if suffix else path
        return TarFiles(opened, location)
    except DamagedError as error:
        deleted = _delete_copies([path, opened], cache)
        raise DamagedError(f"{error}{deleted}") from error


def _delete_copies(paths: list[Path], cache: Path) -> str:
    """Delete copies in the cache, which would be taken again next time; say so where one was fetched."""
    fetched = [path for path in paths if path.is_relative_to(cache / FETCHED)]
    for path in [*fetched, *(path for path in paths if path.is_relative_to(cache / DECOMPRESSED))]:
        path.unlink(missing_ok=True)
    return " (its copy in the cache was deleted: run again to fetch it anew)" if fetched else ""


def _decompressed(path: Path, suffix: str, location: str, cache: Path, emit: Callable[[str], None]) -> Path:
    digest = hashlib.sha256(json.dumps([str(path), *file_signature(path)]).encode()).hexdigest()[:16]
    target = cache / DECOMPRESSED / f"{path.name[: -len(suffix)]}-{digest}.tar"

    def decompress(temporary: Path) -> None:
        try:
            with fsspec.open(str(path), "rb", compression=COMPRESSED_TARS[suffix]) as file:
                copy_with_progress(file, temporary, None, f"decompressing {path.name}", emit)
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise _damaged(location, error) from error
        except OSError as error:
            if error.errno is None:  # gzip and bz2 report damage so; a full disk has a number
                raise _damaged(location, error) from error
            raise

    return make_once(target, decompress, emit)


def _damaged(location: str, error: Exception) -> DamagedError:
    return DamagedError(
        f"{location} cannot be decompressed: {error}; it is damaged or not complete: replace it"
    )


def _name(path: str) -> str:
    """The last part of a path or web address, without what follows a `?`."""
    without_query = path.partition("?")[0] if _is_web(path) else path
    return without_query.rstrip("/").rpartition("/")[2]


def _is_web(location: str) -> bool:
    return location.startswith(("http://", "https://"))
