"""What is costly to make is made by one of the processes that run the tests, and copied by the others."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this process's own with what `make` puts into the folder that it is given."""
    own = factory.mktemp(name)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(own)
        return own

    shared = factory.getbasetemp().parent / name
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            make(own)
            unfinished = shutil.copytree(own, f"{shared}.unfinished")
            Path(unfinished).rename(shared)
            return own
    return Path(shutil.copytree(shared, own, dirs_exist_ok=True))
