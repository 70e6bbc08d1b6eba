"""`watch`: a training while it runs."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from gan_core.cli.options import (
    AsJson,
    ConfigsFolder,
    ExperimentName,
    StorePlace,
    add_command,
    existing_store,
)
from gan_core.cli.output import say, say_json, show
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.planning.running import Moment, Watch


def add(app: typer.Typer) -> None:
    add_command(app, "watch", watch)


def watch(
    experiment: ExperimentName,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Follow a training: images seen, speed, losses, in-training FID, verdict so far, time left. It ends with
    the training."""
    from gan_core.config import load_configs
    from gan_core.planning.running import Watch

    if as_json and not once:
        raise ConfigError("--json goes with --once: it prints one document")
    watched = Watch(existing_store(store), load_configs(configs), experiment)
    if as_json:
        say_json(watched.look().record())
    elif once:
        show(table_of(watched.look()))
    elif sys.stdout.isatty():
        _follow_on_terminal(watched, every)
    else:
        _follow_in_lines(watched, every)


def _follow_on_terminal(watched: "Watch", every: float) -> None:
    """A table that changes in its place."""
    from rich.live import Live

    with Live(table_of(moment := watched.look()), auto_refresh=False) as live:
        while not moment.ended:
            time.sleep(every)
            moment = watched.look()
            live.update(table_of(moment), refresh=True)
    say(_ending(moment))


def _follow_in_lines(watched: "Watch", every: float) -> None:
    """A line whenever something is new."""
    said = ""
    while True:
        moment = watched.look()
        line = ", ".join(f"{name} {value}" for name, value in cells_of(moment) if value)
        if line != said:
            said = line
            say(line)
        if moment.ended:
            break
        time.sleep(every)
    say(_ending(moment))


def _ending(moment: "Moment") -> str:
    from gan_core.remedies import how_to_make

    if moment.trained:
        return f"{moment.experiment} has ended: {moment.verdict}"
    at = f" at {moment.images_seen:,} images" if moment.images_seen else ""
    return f"nobody trains {moment.experiment}{at}: {how_to_make('trained_gan', moment.experiment)}"


def table_of(moment: "Moment"):
    """Names and values, one under the other."""
    from gan_core.planning.tables import text_table

    table = text_table("", "")
    table.show_header = False
    for name, value in [*cells_of(moment), *(("", line) for line in moment.advice)]:
        if value:
            table.add_row(name, value)
    return table


def cells_of(moment: "Moment") -> list[tuple[str, str]]:
    """What is shown of a moment, in words; empty where it is not known."""
    from gan_core.progress import about

    total = moment.total_images
    share = f" of {total:,} ({min(moment.images_seen / total, 1):.0%})" if total else ""
    return [
        ("experiment", moment.experiment),
        ("state", f"running, {moment.running}" if moment.running else moment.state),
        ("images seen", f"{moment.images_seen:,}{share}"),
        ("speed", _speed(moment)),
        ("time left", about(moment.seconds_left) if moment.seconds_left else ""),
        (
            "losses",
            ", ".join(f"{name} {value:.3f}" for name, value in moment.losses.items() if "loss" in name),
        ),
        ("FID while training", _fid(moment)),
        ("verdict", moment.verdict or ("too early to judge" if moment.running else "")),
    ]


def _speed(moment: "Moment") -> str:
    if not moment.images_per_second:
        return ""
    return f"{moment.images_per_second:,.0f} images/s{'' if moment.running else ' when it last trained'}"


def _fid(moment: "Moment") -> str:
    if moment.fid_in_training is None:
        return ""
    return f"{moment.fid_in_training:.2f} (best {moment.fid_best:.2f})"
