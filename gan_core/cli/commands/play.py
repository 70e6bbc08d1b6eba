"""`play`: one HTML file that holds a generator and draws in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from gan_core.cli import completion
from gan_core.cli.options import ConfigsFolder, Force, StorePlace, add_command, existing_store
from gan_core.cli.output import say_json


def add(app: typer.Typer) -> None:
    add_command(app, "play", play)


def play(
    experiment: Annotated[
        str,
        typer.Argument(
            help="A name in configs/experiments, a bundle of `export`, or champion:DATASET.",
            autocompletion=completion.experiments,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The file to write (default: EXPERIMENT.html).")] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Write one HTML file that holds the generator of an experiment and draws in a browser, offline."""
    from gan_core.champions.address import bundle_at
    from gan_core.config import load_configs
    from gan_core.placing import new_file
    from gan_core.report.pages.play import render_play

    if bundle := bundle_at(experiment, lambda: existing_store(store)):
        place, trained = bundle.store, bundle.manifest("trained_gan")
    else:
        name, place = load_configs(configs).experiment(experiment).name, existing_store(store)
        trained = place.require("trained_gan", name)
    target = out or Path(f"{trained.partition}.html")
    with new_file(target, force=force) as path:
        path.write_bytes(render_play(place, trained))
    say_json({"path": str(target), "bytes": target.stat().st_size})
