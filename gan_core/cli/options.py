"""What the commands have in common: their options, the store that they name, what they print.

A command imports what it works with when it runs: to say what there is takes neither PyTorch nor pydantic.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gan_core.cli import completion
from gan_core.cli.output import say_json
from gan_core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from gan_core.config import Configs
    from gan_core.planning.choosing import Choice
    from gan_core.store import Manifest, Store

# Where a command notes what it was given, for what is told of a full disk.
GIVEN = "given"

StorePlace = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PLACE",
        help="The artefact store (default: GAN_STORE, else `store` in the clone, else in the current "
        "folder).",
    ),
]
ConfigsFolder = Annotated[
    Path | None,
    typer.Option(
        "--configs",
        metavar="FOLDER",
        help="The folder of YAML files (default: GAN_CONFIGS, else `configs` in the clone, else in the "
        "current folder).",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Make it again even if it is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for a script.")]
ExperimentName = Annotated[
    str, typer.Argument(help="A name in configs/experiments.", autocompletion=completion.experiments)
]
DatasetName = Annotated[
    str, typer.Argument(help="A name in configs/datasets.", autocompletion=completion.datasets)
]
OnDataset = Annotated[
    str | None,
    typer.Option("--dataset", help="Experiments on this dataset.", autocompletion=completion.datasets),
]
WithArchitecture = Annotated[
    str | None, typer.Option("--architecture", help="Experiments with this architecture.")
]
WithObjective = Annotated[str | None, typer.Option("--objective", help="Experiments with this objective.")]
WithTag = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG|KEY=VALUE",
        help="Experiments that have this tag, a word of their `tags`, or this value in their "
        "configuration, such as seed=0 or conditioning.name=acgan; may be given several times.",
    ),
]


class Command(TyperCommand):
    """A command that leaves word of what it was given."""

    def invoke(self, ctx: typer.Context) -> Any:
        ctx.meta[GIVEN] = ctx.params
        return super().invoke(ctx)


def add_command(app: typer.Typer, name: str, run: Callable[..., int | None]) -> None:
    """Let `app` have the command `name`: `run` carries it out, and gives None or the exit status. Its
    parameters are what the command takes, its docstring is what is told of it."""
    app.command(name, cls=Command)(run)


def given_to(meta: dict[str, Any]) -> dict[str, Any]:
    """What a command was given, by parameter; nothing before it began."""
    return meta.get(GIVEN, {})


def read_configs(folder: Path | None) -> "Configs":
    """The configurations, with a word on standard error where files of them were left out."""
    from gan_core.config import load_configs

    configs = load_configs(folder)
    if configs.mistakes:
        count = f"{len(configs.mistakes):,} file{'s' if len(configs.mistakes) > 1 else ''}"
        print(f"{count} left out for mistakes: `gan-core check` says which", file=sys.stderr)
    return configs


def one_of(option: str, given: str | None, known: Iterable[str]) -> str | None:
    """The value of an option that names one of `known`; a `ConfigError` for another."""
    from gan_core.config import unknown

    known = list(known)
    if given is not None and given not in known:
        raise ConfigError(unknown(f"{option} knows no", given, known))
    return given


def chosen_by(
    patterns: list[str] | None,
    dataset: str | None,
    architecture: str | None,
    objective: str | None,
    tag: list[str] | None,
) -> "Choice":
    """What these options choose together."""
    from gan_core.planning.choosing import Choice

    return Choice(tuple(patterns or ()), dataset, architecture, objective, tuple(tag or ()))


def names_in(text: str | None) -> list[str] | None:
    """The names of a list with commas; None where there is no list."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def store_of(place: str | None) -> "Store":
    """The store of this place, else of the environment; it may not be there yet."""
    from gan_core.store import Store, default_store

    return Store(place) if place else default_store()


def existing_store(place: str | None) -> "Store":
    """The store, where there is one: a command that reads it would make an empty one of a wrong name."""
    store = store_of(place)
    if not is_there(store):
        found = store.reading.exists(store.root)
        raise StoreError(
            f"{f'{store.url} holds no artefact yet' if found else f'there is no store at {store.url}'}: name "
            "another place with --store or GAN_STORE, or make one with `python -m gan_core shard DATASET`"
        )
    return store


def is_there(store: "Store") -> bool:
    """Whether a place holds anything that a step has made."""
    from gan_core.versions import CODE_VERSIONS

    return any(store.reading.exists(f"{store.root}/{asset}") for asset in CODE_VERSIONS)


def print_manifest(store: "Store", manifest: "Manifest") -> None:
    """What was made and where, as JSON on standard output."""
    folder = store.address(store.folder(manifest.asset, manifest.partition, manifest.fingerprint))
    figures = {**manifest.figures, **_verdict(store, manifest)}
    say_json({"path": folder, "reused": manifest.reused, "figures": figures})


def _verdict(store: "Store", manifest: "Manifest") -> dict[str, str]:
    """The verdict on a training as all tables show it: the guards' own does not see that it was too short."""
    from gan_core.leaderboard.verdicts import verdict_text

    if manifest.asset == "trained_gan":
        return {"verdict": verdict_text(manifest)}
    if manifest.asset == "evaluation":
        return {"verdict": verdict_text(store.current("trained_gan", manifest.partition), manifest)}
    return {}
