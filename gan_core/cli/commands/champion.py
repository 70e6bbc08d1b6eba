"""`champion`: the best generator of a dataset: who it is, a promotion, the history, the way back."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core.cli.options import (
    AsJson,
    ConfigsFolder,
    DatasetName,
    StorePlace,
    add_command,
    existing_store,
)
from gan_core.cli.output import say, say_json
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.store import Store


def add(app: typer.Typer) -> None:
    add_command(app, "champion", champion)


def champion(
    dataset: DatasetName,
    promote: Annotated[
        bool, typer.Option("--promote", help="Check the best of the leaderboard, and promote it if all pass.")
    ] = False,
    show_history: Annotated[
        bool, typer.Option("--history", help="All champions there were, the latest first.")
    ] = False,
    back: Annotated[bool, typer.Option("--back", help="Let the champion before be it again.")] = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --back: why, for the history.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --promote: also what was taken back, and where today's champion was measured by "
            "another protocol.",
        ),
    ] = False,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say which generator of a dataset is the champion and what came of the last look for a better one; look
    for one, list those before, or go back."""
    _check_options(promote, show_history, back, reason, force)
    place = existing_store(store)
    if promote:
        _promote(place, configs, dataset, force)
    elif back:
        from gan_core.champions.promoting import BY_HAND, go_back
        from gan_core.champions.words import champion_record

        say_json(champion_record(place, go_back(place, dataset, reason or BY_HAND)))
    elif show_history:
        _history(place, dataset, as_json)
    else:
        _show(place, dataset, as_json)


def _check_options(promote: bool, history: bool, back: bool, reason: str | None, force: bool) -> None:
    if promote + history + back > 1:
        raise ConfigError("--promote, --history and --back are three things: say one of them")
    if reason and not back:
        raise ConfigError("--reason goes with --back: it says why")
    if force and not promote:
        raise ConfigError("--force goes with --promote")


def _promote(store: "Store", configs: Any, dataset: str, force: bool) -> None:
    from dataclasses import asdict

    from gan_core.champions.promoting import promote
    from gan_core.config import load_configs
    from gan_core.leaderboard.leaderboard import leaderboard_of

    known = load_configs(configs)
    known.dataset(dataset)
    say_json(asdict(promote(store, known, dataset, leaderboard_of(store, known), force=force)))


def _history(store: "Store", dataset: str, as_json: bool) -> None:
    from gan_core.champions.reigns import champion_of, history
    from gan_core.champions.words import history_text

    found = champion_of(store, dataset)
    if as_json:
        say_json([reign.record() for reign in history(found)])
    else:
        say(history_text(found))


def _show(store: "Store", dataset: str, as_json: bool) -> None:
    from dataclasses import asdict

    from gan_core.champions.looks import last_look
    from gan_core.champions.reigns import ASSET, champion_of
    from gan_core.champions.words import champion_record, champion_text, look_text

    look = last_look(store, dataset)
    # Where nobody was promoted, the last look says why; where there was none either, the error what to do.
    found = store.current(ASSET, dataset) if look else champion_of(store, dataset)
    if as_json:
        say_json(
            {"champion": champion_record(store, found) if found else None, "last_look": look and asdict(look)}
        )
        return
    parts = [champion_text(store, found) if found else f"{dataset} has no champion"]
    say("\n\n".join([*parts, *([look_text(look)] if look else [])]))
