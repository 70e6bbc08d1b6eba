"""What an artefact was made with: the commit of the code, the packages, the machine."""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from gan_core.places import checkout

PACKAGES = (
    *("gan-pipelines", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow"),
    *("Pillow", "webdataset", "safetensors", "torch-fidelity", "fsspec", "s3fs", "dagster"),
)


@functools.cache
def provenance() -> dict[str, Any]:
    """`commit` and whether the tree was `clean` (None where the code is not a clone's), `packages` by name,
    and the `machine`: its processor, cores, memory_bytes, gpus and system, but not its name."""
    return {**_commit(checkout()), "packages": _packages(), "machine": _machine()}


def commit_in_words(recorded: dict[str, Any]) -> str | None:
    """The commit of a recorded provenance, shortened; None where there is none."""
    commit = recorded.get("commit")
    return commit and f"{commit[:12]}{'' if recorded.get('clean') else ' with changes'}"


def _commit(clone: Path | None) -> dict[str, Any]:
    commit = clone and _git(clone, "rev-parse", "HEAD")
    if not commit:
        return {"commit": None, "clean": None}
    changes = _git(clone, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "clean": None if changes is None else not changes}


def _git(clone: Path, *arguments: str) -> str | None:
    """What git says of a clone; None where there is no git, or no repository that is the clone's own."""
    if not (clone / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=clone, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _packages() -> dict[str, str]:
    """The versions of those that are installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _machine() -> dict[str, Any]:
    import psutil

    return {
        "processor": _after_colon(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [
            _after_colon(path, "Model") or "unknown"
            for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        ],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _after_colon(file: Path, name: str) -> str:
    """The value of the first line `name: value` of one of the system's files; empty where there is none."""
    try:
        found = re.search(rf"^{name}\s*:\s*(.*)$", file.read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1].strip() if found else ""
