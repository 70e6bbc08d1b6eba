"""`analyse`: look at a trained experiment beside its figures: latent space, D's features, the first epoch."""

from typing import TYPE_CHECKING, Annotated

import typer

from gan_core.cli.options import (
    ConfigsFolder,
    ExperimentName,
    Force,
    StorePlace,
    add_command,
    existing_store,
    names_in,
)
from gan_core.cli.output import say_json
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.store import Manifest, Store


def _term(letter: str) -> typer.models.OptionInfo:
    """The option for a term of the arithmetic A - B + C."""
    return typer.Option(
        f"--{letter}",
        metavar="NUMBERS",
        help=f"Arithmetic, A - B + C: the samples whose mean is {letter.upper()}, as 12,40,77, numbered as "
        "in samples_by_number.png.",
    )


def add(app: typer.Typer) -> None:
    add_command(app, "analyse", analyse)


def analyse(
    experiment: ExperimentName,
    only: Annotated[
        str | None, typer.Option(help="With commas, some of `list analyses` (default: all that apply).")
    ] = None,
    a: Annotated[str | None, _term("a")] = None,
    b: Annotated[str | None, _term("b")] = None,
    c: Annotated[str | None, _term("c")] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Look at a trained experiment: latent space, D's features."""
    from gan_core.analysis.analyse import analyse_experiment
    from gan_core.config import load_configs

    settings, names = _settings({"a": a, "b": b, "c": c}), names_in(only)
    known = load_configs(configs)
    chosen, place = known.experiment(experiment), existing_store(store)
    if settings and names is None:
        names = list(settings)
    made = analyse_experiment(
        place,
        chosen,
        known.datasets[chosen.dataset],
        place.require("trained_gan", chosen.name),
        place.require("image_shards", chosen.dataset),
        place.require("classifier", chosen.dataset),
        only=names,
        settings=settings,
        force=force,
    )
    _print(place, made)


def _settings(terms: dict[str, str | None]) -> dict[str, dict[str, list[int]]]:
    given = {term: _numbers(term, text) for term, text in terms.items() if text is not None}
    return {"arithmetic": given} if given else {}


def _numbers(term: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--{term} is `{text}`: give sample numbers with commas, as 12,40,77") from error


def _print(store: "Store", made: "Manifest") -> None:
    """Where it is, the figures, each analysis' table and pictures, and what was left out, as JSON."""
    folder = store.address(store.folder(made.asset, made.partition, made.fingerprint))
    found = {
        name: {
            "table": item["table"],
            "protocol": item["protocol"],
            "pictures": [store.address(store.file_path(made, file)) for file in item["pictures"]],
        }
        for name, item in made.details["analyses"].items()
    }
    figures = {name: value for name, value in made.figures.items() if value is not None}
    shown = {"path": folder, "reused": made.reused, "figures": figures, "analyses": found}
    say_json({**shown, "left_out": made.details["left_out"]})
