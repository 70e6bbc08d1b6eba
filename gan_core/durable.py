"""Files that are there, whole, after a power cut.

A file's content, its name and the name of its folder are three things that a file system writes when it
likes, in any order. Whatever something else relies on (a manifest on its files, a user on a message) is
synced first.
"""

import errno
import os
from pathlib import Path


def sync_file(path: str | os.PathLike) -> None:
    """Return once the content of a file would outlast a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_folder(folder: str | os.PathLike) -> None:
    """Return once the names in a folder would outlast a power cut."""
    try:
        sync_file(folder)
    except OSError as error:
        # Some network file systems cannot sync a folder: they keep its names on their server.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def sync_tree(folder: str | os.PathLike) -> None:
    """Sync every file below a folder, then the folders that name them, the folder itself last."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(os.path.join(parent, name))
        sync_folder(parent)


def make_folder(folder: str | os.PathLike) -> None:
    """Make a folder and those that it lies in, where they are missing, so that they outlast a power cut.

    Raises `NotADirectoryError` where a file is in the place of one.
    """
    folder = Path(folder)
    if folder.is_dir():
        return
    if folder.exists() and not folder.is_dir():  # asked again: another may have made it meanwhile
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)  # another may make it at once
    except FileNotFoundError:  # or remove the one around it, which was empty
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def replace_durably(temporary: str | os.PathLike, target: str | os.PathLike) -> None:
    """Rename a file onto another: a power cut leaves the old one or the new one, whole; on return the new.

    An empty folder in its place is removed: there is nothing in it to lose.
    """
    sync_file(temporary)
    if os.path.isdir(target) and not os.path.islink(target):
        os.rmdir(target)
    os.replace(temporary, target)
    sync_folder(os.path.dirname(os.path.abspath(target)))
