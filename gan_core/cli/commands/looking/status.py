"""`status`: what would be trained, resumed or reused, how long that takes and how much memory it needs."""

from typing import Annotated

import typer

from gan_core.cli import completion
from gan_core.cli.options import AsJson, ConfigsFolder, StorePlace, add_command, read_configs, store_of
from gan_core.cli.output import say_json, show


def add(app: typer.Typer) -> None:
    add_command(app, "status", status)


def status(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments: names or shell patterns such as 'demo-*' (default: all).",
            autocompletion=completion.experiments,
        ),
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say what a backfill would make, resume or reuse, with times and memory as recorded on this machine."""
    from gan_core.planning import make_plan
    from gan_core.planning.tables import plan_parts

    known = read_configs(configs)
    plan = make_plan(store_of(store), known, known.matching(names or ["*"]))
    if as_json:
        say_json(plan.record())
        return
    show(*plan_parts(plan))
