"""`new`: write a commented configuration to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from gan_core.cli import completion
from gan_core.cli.options import ConfigsFolder, add_command
from gan_core.cli.output import say

Name = Annotated[str, typer.Argument(help="What it is to be called.")]


def add(app: typer.Typer) -> None:
    kinds = typer.Typer(no_args_is_help=True, help="Write a commented configuration to begin with.")
    add_command(kinds, "dataset", new_dataset)
    add_command(kinds, "experiment", new_experiment)
    app.add_typer(kinds, name="new")


def new_dataset(name: Name, configs: ConfigsFolder = None) -> None:
    """Write configs/datasets/NAME.yaml."""
    _write("dataset", name, configs)


def new_experiment(
    name: Name,
    dataset: Annotated[
        str, typer.Option(help="What it trains on.", autocompletion=completion.datasets)
    ] = "digits",
    configs: ConfigsFolder = None,
) -> None:
    """Write configs/experiments/NAME.yaml."""
    _write("experiment", name, configs, dataset=dataset)


def _write(kind: str, name: str, configs: Path | None, **given: str) -> None:
    from gan_core.config import default_config_folder, write_starter

    path = write_starter(kind, name, configs or default_config_folder(), **given)
    say(f"{path} is written: read it, change what is different, and run the next command")
