"""`check`: whether the configuration files are valid, without Dagster."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core.cli.options import AsJson, ConfigsFolder, add_command
from gan_core.cli.output import say, say_json
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.config import Configs, Mistake

KINDS = ("datasets", "experiments", "sweeps", "questions", "schedules")


def add(app: typer.Typer) -> None:
    add_command(app, "check", check)


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of a configuration folder (default: all of the folder)."),
    ] = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> int:
    """Check configurations: each mistake with its file, line and remedy; exit status 2 where there is one.

    What notifications need of the environment, and this one lacks, is said, and is no mistake.
    """
    from gan_core.config import load_configs

    if files:
        folders = {_folder_of(path): None for path in files}
        loaded = [load_configs(folder) for folder in folders]
        wanted = {path.resolve() for path in files}
    else:
        loaded, wanted = [load_configs(configs)], None
    mistakes = [
        mistake
        for one in loaded
        for mistake in one.mistakes
        if wanted is None or mistake.path.resolve() in wanted
    ]
    silent = [text for one in loaded for text in one.notifications.problems(os.environ)]
    if as_json:
        records = [_record(one) for one in mistakes]
        say_json({"valid": not mistakes, "mistakes": records, "in_this_environment": silent})
    else:
        said = [one.message for one in mistakes]
        say("\n".join(said) if said else f"no mistake in {_checked(loaded, files)}")
        for text in silent:
            say(f"in this environment: {text}")
    return 2 if mistakes else 0


def _folder_of(path: Path) -> Path:
    """The configuration folder that a file belongs to."""
    from gan_core.config import STORE_FILE

    folder = path.resolve().parent
    if not path.exists():
        raise ConfigError(f"{path} is not there: name a file of a configuration folder")
    if path.name in ("nightly.yaml", STORE_FILE, "notifications.yaml"):
        return folder
    if folder.name not in KINDS:
        raise ConfigError(
            f"{path} is in no configuration folder: move it to its {', '.join(f'`{kind}`' for kind in KINDS)}"
        )
    return folder.parent


def _record(mistake: "Mistake") -> dict[str, Any]:
    return {
        "file": str(mistake.path),
        "left_out": list(mistake.names),
        "problems": mistake.message.splitlines(),
    }


def _checked(loaded: "list[Configs]", files: list[Path] | None) -> str:
    if files:
        return f"{len(files):,} file" if len(files) == 1 else f"{len(files):,} files"
    counts = [(len(getattr(loaded[0], kind)), kind) for kind in KINDS]
    return ", ".join(f"{count:,} {kind}" for count, kind in counts)
