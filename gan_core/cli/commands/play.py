"""`play`: one HTML file that holds an experiment's generator and draws in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from gan_core.cli.options import ConfigsFolder, ExperimentName, Force, StorePlace, add_command, existing_store
from gan_core.cli.output import say_json


def add(app: typer.Typer) -> None:
    add_command(app, "play", play)


def play(
    experiment: ExperimentName,
    out: Annotated[Path | None, typer.Option(help="The file to write (default: EXPERIMENT.html).")] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Write one HTML file that holds the generator of an experiment and draws in a browser, offline."""
    from gan_core.config import load_configs
    from gan_core.placing import new_file
    from gan_core.report.pages.play import render_play

    name, place = load_configs(configs).experiment(experiment).name, existing_store(store)
    target = out or Path(f"{name}.html")
    with new_file(target, force=force) as path:
        path.write_bytes(render_play(place, place.require("trained_gan", name)))
    say_json({"path": str(target), "bytes": target.stat().st_size})
