"""What a shell completes: the names of experiments, datasets, sweeps and questions.

They are those of the configuration folder, which takes a second to read and check; so they are remembered
until a file of it changes.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

import typer

from gan_core.places import default_folder

KINDS = ("datasets", "experiments", "sweeps", "questions")


def experiments(context: typer.Context, incomplete: str) -> list[str]:
    return _beginning(_names(context)["experiments"], incomplete)


def datasets(context: typer.Context, incomplete: str) -> list[str]:
    return _beginning(_names(context)["datasets"], incomplete)


def questions(context: typer.Context, incomplete: str) -> list[str]:
    return _beginning(_names(context)["questions"], incomplete)


def sweeps(context: typer.Context, incomplete: str) -> list[str]:
    return _beginning(_names(context)["sweeps"], incomplete)


def questions_and_experiments(context: typer.Context, incomplete: str) -> list[str]:
    names = _names(context)
    return _beginning([*names["questions"], *names["experiments"]], incomplete)


def listed(context: typer.Context, incomplete: str) -> list[str]:
    """The names of what `list` was asked for."""
    return _beginning(_names(context).get(context.params.get("what") or "", []), incomplete)


def extractors(incomplete: str) -> list[str]:
    from gan_core.evaluation.extractors import EXTRACTORS

    return _beginning(list(EXTRACTORS), incomplete)


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _names(context: typer.Context) -> dict[str, list[str]]:
    """The names by kind; none where the folder cannot be read: a shell has no place for an error."""
    given = context.params.get("configs") or os.environ.get("GAN_CONFIGS") or default_folder("configs")
    folder = Path(given).absolute()
    state = _state(folder)
    memory = _memory(folder)
    with contextlib.suppress(OSError, ValueError, KeyError):
        remembered = json.loads(memory.read_text())
        if remembered["state"] == state:
            return remembered["names"]
    names = _read_names(folder)
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        temporary = memory.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"state": state, "names": names}))
        temporary.replace(memory)
    return names


def _state(folder: Path) -> list:
    """What changes with every change of a file."""
    kinds = (*KINDS, "trials")
    files = sorted(path for kind in kinds for path in (folder / kind).glob("*.y*ml"))
    return [[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in files]


def _memory(folder: Path) -> Path:
    cache = Path(os.environ.get("GAN_CACHE") or Path.home() / ".cache" / "gan-pipelines")
    return cache / f"names-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.json"


def _read_names(folder: Path) -> dict[str, list[str]]:
    from gan_core.config import load_configs
    from gan_core.errors import GanError

    try:
        configs = load_configs(folder)
    except GanError:
        return dict.fromkeys(KINDS, [])
    return {kind: list(getattr(configs, kind)) for kind in KINDS}
