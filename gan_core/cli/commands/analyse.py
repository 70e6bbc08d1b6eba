"""`analyse`: look at a trained experiment beside its figures: latent space, D's features, the first epoch."""

import argparse
import json

from gan_core.analysis import ANALYSES
from gan_core.cli.options import command, existing_store, say
from gan_core.config import load_configs
from gan_core.errors import ConfigError
from gan_core.store import Manifest, Store

TERMS = ("a", "b", "c")


def add(commands) -> None:
    analyse = command(
        commands, "analyse", _analyse, "look at a trained experiment: latent space, D's features"
    )
    analyse.add_argument("experiment", help="a trained experiment")
    analyse.add_argument("--only", help=f"a choice of {','.join(ANALYSES)} (default: all that apply)")
    for term in TERMS:
        analyse.add_argument(
            f"--{term}",
            metavar="NUMBERS",
            help=f"arithmetic, A - B + C: the samples whose mean is {term.upper()}, as 12,40,77, numbered "
            "as in samples_by_number.png",
        )


def _analyse(options: argparse.Namespace) -> None:
    from gan_core.analysis.analyse import analyse_experiment

    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), existing_store(options)
    settings, only = _settings(options), _names(options.only)
    if settings and only is None:
        only = list(settings)
    made = analyse_experiment(
        store,
        experiment,
        configs.datasets[experiment.dataset],
        store.require("trained_gan", experiment.name),
        store.require("image_shards", experiment.dataset),
        store.require("classifier", experiment.dataset),
        only=only,
        settings=settings,
        force=options.force,
    )
    _print(store, made)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _settings(options: argparse.Namespace) -> dict[str, dict[str, list[int]]]:
    given = {term: _numbers(term, text) for term in TERMS if (text := getattr(options, term)) is not None}
    return {"arithmetic": given} if given else {}


def _numbers(term: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--{term} is `{text}`: give sample numbers with commas, as 12,40,77") from error


def _print(store: Store, made: Manifest) -> None:
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
    say(json.dumps({**shown, "left_out": made.details["left_out"]}, indent=1))
