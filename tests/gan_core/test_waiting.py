"""How OpenMP's threads wait: what GNU's library says of itself when it is loaded, as torch does."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = "import sys, gan_core, ctypes; ctypes.CDLL(sys.argv[1])"


def spins(**environment: str) -> int:
    """Turns on the spot before a thread sleeps, in a process that imports gan_core first."""
    torch = Path(importlib.util.find_spec("torch").origin).parent
    libraries = sorted((torch / "lib").glob("libgomp*.so*"))
    if not libraries:
        pytest.skip("this torch has another OpenMP")
    unset = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, libraries[0]],
        env=unset | {"OMP_DISPLAY_ENV": "verbose"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)[1])


def test_threads_do_not_wait_actively_unless_asked_to():
    assert spins() == 0
    assert spins(OMP_WAIT_POLICY="ACTIVE") > 0
    assert spins(GOMP_SPINCOUNT="77") == 77
