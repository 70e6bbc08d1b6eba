"""Local files that several processes may want to make at once: one makes it, whole, the others wait."""

import contextlib
import errno
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gan_core.durable import make_folder, replace_durably
from gan_core.errors import SourceError
from gan_core.progress import Progress

BLOCK = 2**20


@contextlib.contextmanager
def locked(target: Path, emit: Callable[[str], None]) -> Iterator[None]:
    """Keep every other process that wants to make `target` waiting. The lock ends with its process."""
    make_folder(target.parent)
    with open(target.with_name(f".{target.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            emit(f"{target.name}: another process is making it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_once(target: Path, write: Callable[[Path], None], emit: Callable[[str], None]) -> Path:
    """Let `write` fill a temporary file that then becomes `target`, unless `target` is there.

    Raises `SourceError` where the disk is full; nothing is left behind then.
    """
    if target.exists():
        return target
    with locked(target, emit):
        if target.exists():
            return target
        temporary = target.with_name(f".{target.name}.part")
        try:
            write(temporary)
            replace_durably(temporary, target)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise SourceError(
                f"{target}: the disk is full: free space, or name another folder with GAN_CACHE"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
    return target


def copy_with_progress(
    source: BinaryIO, target: Path, total: int | None, task: str, emit: Callable[[str], None]
) -> None:
    """Copy an open file to a path block by block. `total` is the expected number of bytes, if known."""
    progress = Progress(task, total, "bytes", emit=emit)
    with open(target, "wb") as file:
        while block := source.read(BLOCK):
            file.write(block)
            progress.advance(len(block))
