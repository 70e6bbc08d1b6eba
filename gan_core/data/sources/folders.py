"""Folders of files: on this machine, and of any other fsspec file system."""

import hashlib
import json
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan_core.data.sources.files import Files, FileTable, check_size, shown
from gan_core.errors import SourceError
from gan_core.remote import RemoteFiles

# What file systems call the things that change with a file's content.
VERSION_FIELDS = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "updated", "md5Hash")


class FolderFiles(Files):
    """The files below a folder, at any depth. A pickled one reads by name and has no table."""

    def __getstate__(self) -> dict:
        return {**self.__dict__, "listed": None}


class LocalFolder(FolderFiles):
    """A folder on this machine. Pipes, sockets and devices are problems, and never opened.

    Links are followed: one to a folder that is reached without it, too, is a problem instead of a second copy
    of that folder's files (or, where it leads upwards, of an endless number). Raises `SourceError` for a
    folder that may not be listed.
    """

    def __init__(self, location: str, root: str):
        self.location, self.root = location, root.rstrip("/") or "/"
        self.listed: FileTable | None = None

    def table(self) -> FileTable:
        if self.listed is None:
            problems: list[tuple[str, str]] = []
            self.listed = FileTable(_walk(self.root, problems), problems)
        return self.listed

    def signature(self) -> Any:
        table = self.table()
        digest = hashlib.sha256("\n".join(table.names).encode())
        for column in table.columns:
            digest.update(column.tobytes())
        return digest.hexdigest()

    def _read(self, name: str) -> bytes:
        with open(f"{self.root}/{name}", "rb", buffering=0, opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError("it is no longer a file")
            check_size(status.st_size)
            return file.read()


class RemoteFolder(FolderFiles):
    """A folder of an fsspec file system, listed at once."""

    remote = True

    def __init__(self, location: str, fs: RemoteFiles, root: str):
        self.location, self.fs, self.root = location, fs, root.rstrip("/")
        self.listed: tuple[FileTable, str] | None = None

    def table(self) -> FileTable:
        return self._list()[0]

    def signature(self) -> Any:
        return self._list()[1]

    def _read(self, name: str) -> bytes:
        return self.fs.cat_file(f"{self.root}/{name}")

    def _list(self) -> tuple[FileTable, str]:
        if self.listed is None:
            found = self.fs.find(self.root, detail=True)
            start = len(self.root) + 1
            versions = [[path[start:], version_of(info)] for path, info in sorted(found.items())]
            table = FileTable(((path[start:], info.get("size") or 0) for path, info in found.items()), [])
            self.listed = table, hashlib.sha256(json.dumps(versions).encode()).hexdigest()
        return self.listed


def version_of(info: dict) -> list:
    """The fields of a file system's answer that change with a file's content."""
    return [[field, str(info[field])] for field in VERSION_FIELDS if field in info]


def _walk(root: str, problems: list[tuple[str, str]]) -> Iterator[tuple[str, int, int]]:
    """(relative name, size, time of change) of every file; links to folders come after all that is there
    without them."""
    folders, links = deque([("", root)]), deque()
    # Of the folders above and of those that were listed, by device and inode.
    names_of = {_identity(str(above)): str(above) for above in Path(root).resolve().parents}
    while folders or links:
        is_link = not folders
        prefix, path = links.popleft() if is_link else folders.popleft()
        if is_link:
            same = names_of.get(_identity(path))
            if same is not None:
                problems.append((shown(prefix), f"a link to `{same or '.'}`, which is above or read already"))
                continue
        for entry in _scan(prefix, path, names_of):
            name = prefix + entry.name
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            try:
                status = entry.stat()
            except OSError as error:
                reason = "a link that leads nowhere" if entry.is_symlink() else str(error.strerror)
                problems.append((shown(name), reason))
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else folders).append((f"{name}/", entry.path))
            elif stat.S_ISREG(status.st_mode):
                yield name, status.st_size, status.st_mtime_ns
            else:
                problems.append((shown(name), "a pipe, a socket or a device"))


def _scan(prefix: str, path: str, names_of: dict[tuple[int, int], str]) -> list[os.DirEntry]:
    try:
        names_of[_identity(path)] = prefix
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(
            f"{shown(path)} cannot be listed: {error.strerror}: make it readable, or move it elsewhere"
        ) from error


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _open_at_once(path: str, flags: int) -> int:
    """Opens without waiting for a writer, in case a pipe has taken the file's place."""
    return os.open(path, flags | os.O_NONBLOCK)
