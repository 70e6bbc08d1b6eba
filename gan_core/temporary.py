"""Local files that are not finished, and how to tell those that nobody will finish.

Whoever writes one holds a lock on it, which ends with its process, however that ends.
"""

import contextlib
import fcntl
import uuid
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".unfinished-"


@contextlib.contextmanager
def unfinished(folder: Path, name: str) -> Iterator[Path]:
    """A path in `folder` to write a file to; what has not been moved away in the end is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{PREFIX}{uuid.uuid4().hex[:8]}-{name}"
    with open(path, "xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files in `folder` whose writers are gone."""
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
