"""`list`: what is configured and how far each is, and what there is to configure with."""

import fnmatch
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core.cli import completion
from gan_core.cli.options import (
    AsJson,
    ConfigsFolder,
    OnDataset,
    StorePlace,
    WithArchitecture,
    WithObjective,
    WithTag,
    add_command,
    chosen_by,
    one_of,
    read_configs,
    store_of,
)
from gan_core.cli.output import say_json, show
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.config import Configs
    from gan_core.planning import Surveyor
    from gan_core.planning.choosing import Choice

Row = dict[str, Any]


def add(app: typer.Typer) -> None:
    add_command(app, "list", list_things)


def _kinds(incomplete: str) -> list[str]:
    return [name for name in (*CONFIGURED, *REGISTERED) if name.startswith(incomplete)]


def list_things(
    what: Annotated[
        str | None,
        typer.Argument(
            help="experiments, datasets, sweeps or questions (default: all); or what these are made of: "
            "architectures, objectives, penalties, augmentations, extractors, metrics, analyses.",
            autocompletion=_kinds,
        ),
    ] = None,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names or shell patterns such as 'demo-*' (default: all).", autocompletion=completion.listed
        ),
    ] = None,
    dataset: OnDataset = None,
    architecture: WithArchitecture = None,
    objective: WithObjective = None,
    tag: WithTag = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="Experiments that are `never trained`, `partly trained`, `trained`, `evaluated` or "
            "`out of date`."
        ),
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> None:
    """List what there is, by pattern and by what it is made of, with the state of each."""
    one_of("list", what, [*CONFIGURED, *REGISTERED])
    choice = chosen_by(patterns, dataset, architecture, objective, tag)
    if (choice.by_content or state) and what not in (None, "experiments"):
        raise ConfigError(f"--dataset, --tag and the like choose experiments, not {what}: leave them out")
    if what is None and (choice.by_content or state):
        what = "experiments"
    found = _listed(what, choice, state, store, configs)
    if as_json:
        say_json(found if what is None else found[what])
        return
    _show(found)


def _listed(
    what: str | None,
    choice: "Choice",
    state: str | None,
    store: str | None,
    configs: Path | None,
) -> dict[str, list[Row]]:
    if what in REGISTERED:
        return {what: _matching(_registered(REGISTERED[what]()), choice.patterns)}
    from gan_core.planning import State, Surveyor

    one_of("--state", state, [str(one) for one in State])
    known = read_configs(configs)
    survey = Surveyor(store_of(store), known)
    if what != "experiments" and what is not None:
        return {what: _matching(CONFIGURED[what](known, survey), choice.patterns)}
    rows = _experiments(known, survey, set(choice.names(known)))
    experiments = [row for row in rows if state is None or row["state"] == state]
    if what == "experiments":
        return {what: experiments}
    others = {kind: rows(known, survey) for kind, rows in CONFIGURED.items() if kind != "experiments"}
    return {"experiments": experiments, **others}


def _matching(rows: list[Row], patterns: Iterable[str]) -> list[Row]:
    from gan_core.config import unknown

    if not patterns:
        return rows
    for pattern in patterns:
        if not fnmatch.filter([row["name"] for row in rows], pattern):
            raise ConfigError(unknown("nothing listed matches", pattern, [row["name"] for row in rows]))
    return [row for row in rows if any(fnmatch.fnmatch(row["name"], pattern) for pattern in patterns)]


# --- what is configured -----------------------------------------------------------------------------------


def _experiments(configs: "Configs", survey: "Surveyor", names: set[str] | None = None) -> list[Row]:
    """`names`: those that count, by default all."""
    chosen = [one for one in configs.experiments.values() if names is None or one.name in names]
    rows = []
    for experiment in chosen:
        found = survey.experiment(experiment.name)
        rows.append(
            {
                "name": experiment.name,
                "dataset": experiment.dataset,
                "architecture": experiment.architecture.name,
                "objective": experiment.objective.name,
                "conditioning": experiment.conditioning.name,
                "seed": experiment.seed,
                "tags": list(experiment.tags),
                "state": str(found.state),
                "in_words": found.in_words,
                "images_seen": found.images_seen,
                "total_images": found.total_images,
                "why": list(found.why),
                "running": str(found.running) if found.running else None,
            }
        )
    return rows


def _datasets(configs: "Configs", survey: "Surveyor") -> list[Row]:
    rows = []
    for name, dataset in configs.datasets.items():
        found = survey.dataset(name)
        missing = [one.asset for one in found.found.values() if one.made is None]
        rows.append(
            {
                "name": name,
                "source": dataset.source.kind,
                "image_size": dataset.image_size,
                "channels": dataset.channels,
                "experiments": len(configs.experiments_by_dataset[name]),
                "state": found.state,
                "missing": missing,
            }
        )
    return rows


def _sweeps(configs: "Configs", survey: "Surveyor") -> list[Row]:
    from gan_core.planning import State

    rows = []
    for name, sweep in configs.sweeps.items():
        chosen = [one for one in sweep.trial_names if one in configs.experiments]
        evaluated = [one for one in chosen if survey.experiment(one).state is State.EVALUATED]
        rows.append(
            {
                "name": name,
                "base": sweep.base,
                "sampler": sweep.sampler,
                "keys": len(sweep.space),
                "trials": sweep.count,
                "chosen": len(chosen),
                "evaluated": len(evaluated),
            }
        )
    return rows


def _questions(configs: "Configs", survey: "Surveyor") -> list[Row]:
    from gan_core.planning import State

    rows = []
    for name, question in configs.questions.items():
        chosen = question.chosen(configs.experiments)
        evaluated = [one for one in chosen if survey.experiment(one).state is State.EVALUATED]
        rows.append(
            {
                "name": name,
                "question": question.question,
                "experiments": len(chosen),
                "evaluated": len(evaluated),
            }
        )
    return rows


CONFIGURED: dict[str, Callable[["Configs", "Surveyor"], list[Row]]] = {
    "experiments": _experiments,
    "datasets": _datasets,
    "sweeps": _sweeps,
    "questions": _questions,
}


# --- what is registered -----------------------------------------------------------------------------------


def _registry(module: str, name: str) -> Callable[[], Mapping[str, Any]]:
    def load() -> Mapping[str, Any]:
        import importlib

        return getattr(importlib.import_module(module), name)

    return load


REGISTERED: dict[str, Callable[[], Mapping[str, Any]]] = {
    "architectures": _registry("gan_core.models", "ARCHITECTURES"),
    "objectives": _registry("gan_core.objectives", "OBJECTIVES"),
    "penalties": _registry("gan_core.objectives", "PENALTIES"),
    "augmentations": _registry("gan_core.objectives", "AUGMENTATIONS"),
    "extractors": _registry("gan_core.evaluation.extractors", "EXTRACTORS"),
    "metrics": _registry("gan_core.evaluation.metrics", "METRICS"),
    "analyses": _registry("gan_core.analysis", "ANALYSES"),
}


def _registered(registry: Mapping[str, Any]) -> list[Row]:
    return [{"name": name, "description": _described(thing)} for name, thing in registry.items()]


def _described(thing: Any) -> str:
    """What a metric's figure means, what an analysis asks; else the first paragraph of a class's own
    documentation, or of that of the file that defines it."""
    from gan_core.evaluation.figures import FIGURES

    if (figure := getattr(thing, "main", None)) in FIGURES:
        return FIGURES[figure].explanation
    if question := getattr(thing, "question", None):
        return question
    of = thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
    text = vars(of).get("__doc__") or sys.modules[of.__module__].__doc__ or ""
    return " ".join(text.partition("\n\n")[0].split())


# --- text -------------------------------------------------------------------------------------------------

# Which columns a table has: the others are for scripts.
COLUMNS = {
    "experiments": ("name", "dataset", "architecture", "objective", "conditioning", "in_words"),
    "datasets": ("name", "source", "image_size", "channels", "experiments", "state"),
    "sweeps": ("name", "base", "sampler", "keys", "trials", "chosen", "evaluated"),
    "questions": ("name", "question", "experiments", "evaluated"),
}
HEADINGS = {"in_words": "state", "image_size": "pixels"}


def _show(found: dict[str, list[Row]]) -> None:
    from gan_core.planning.tables import text_table

    parts: list[Any] = []
    for kind, rows in found.items():
        columns = COLUMNS.get(kind, ("name", "description"))
        headings = [HEADINGS.get(column, column) for column in columns]
        table = text_table(kind, *headings[1:])
        for row in rows:
            table.add_row(*(str(row[column]) for column in columns))
        parts += [table, ""]
    show(*parts[:-1])
