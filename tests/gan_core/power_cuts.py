"""What a power cut leaves of a folder, worked out from what was synced.

A file system writes what it is given in any order, and only what was synced is sure. `recording` looks at
a folder before and after each sync, renaming and removal. `survivors` makes the folders that a cut at such
a moment could leave: the names as they were synced last (without those that were removed since, or with
them), or as they are; a file's content as it was synced last, and nothing where it never was.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

CALLS = ("fsync", "replace", "rename", "unlink", "remove", "rmdir", "mkdir")
Tree = dict[str, "Tree | bytes"]


class Disk:
    """What of a folder has been synced so far, by inodes, and what a cut at each moment would leave."""

    def __init__(self, root: Path):
        self.root = root
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}
        self.kept_open: list[int] = []  # so that no inode is given to another file
        self.moments: list[tuple[str, list[Tree]]] = []

    def synced(self, number: int) -> None:
        """A file or folder that is open under this number has been synced."""
        self.kept_open.append(os.dup(number))
        inode = os.fstat(number).st_ino
        path = f"/proc/self/fd/{number}"
        if stat.S_ISDIR(os.fstat(number).st_mode):
            self.names[inode] = _names(path)
        else:
            self.contents[inode] = Path(path).read_bytes()

    def look(self, event: str) -> None:
        trees = []
        for choose in (_as_synced, _as_synced_but_removed, _as_they_are):
            tree = self._tree(str(self.root), self.root.stat().st_ino, choose)
            if tree not in trees:
                trees.append(tree)
        self.moments.append((event, trees))

    def _tree(self, path: str, inode: int, choose) -> Tree:
        now = _names(path) if os.path.isdir(path) else {}
        tree: Tree = {}
        for name, child in sorted(choose(self.names.get(inode, {}), now).items()):
            below = f"{path}/{name}"
            is_here = now.get(name) == child
            if child in self.names or (is_here and os.path.isdir(below)):
                tree[name] = self._tree(below if is_here else "", child, choose)
            else:
                tree[name] = self.contents.get(child, b"")
        return tree


def _as_synced(synced: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return synced


def _as_synced_but_removed(synced: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {name: inode for name, inode in synced.items() if name in now}


def _as_they_are(synced: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return now


def _names(path: str) -> dict[str, int]:
    return {name: os.lstat(f"{path}/{name}").st_ino for name in os.listdir(path)}


@contextlib.contextmanager
def recording(root: Path, monkeypatch) -> Iterator[Disk]:
    """Record what happens to a folder in this process; what lies there already counts as synced."""
    disk = Disk(root)
    for folder, _, names in os.walk(root):
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            number = os.open(path, os.O_RDONLY)
            disk.synced(number)
            os.close(number)
    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, _watched(disk, name, getattr(os, name)))
        yield disk
        disk.look("the end")
    for number in disk.kept_open:
        os.close(number)


def _watched(disk: Disk, name: str, real):
    def call(*arguments, **options):
        event = f"{name}{arguments}"
        disk.look(f"before {event}")
        result = real(*arguments, **options)
        if name == "fsync":
            disk.synced(arguments[0])
        disk.look(f"after {event}")
        return result

    return call


def survivors(disk: Disk, folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """(what was just happening, the folders that a cut could have left then), moment by moment."""
    written: list[tuple[Tree, Path]] = []

    def place(tree: Tree) -> Path:
        for known, path in written:
            if known == tree:
                return path
        path = folder / str(len(written))
        _write(tree, path)
        written.append((tree, path))
        return path

    for event, trees in disk.moments:
        yield event, [place(tree) for tree in trees]


def _write(tree: Tree, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in tree.items():
        if isinstance(content, dict):
            _write(content, folder / name)
        else:
            (folder / name).write_bytes(content)
