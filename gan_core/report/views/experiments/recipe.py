"""How experiments are made again: their configuration, and the commands."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from gan_core.config import Experiment, config_changes, recorded_experiment
from gan_core.report.views.words import settings_in_words
from gan_core.store import Manifest
from gan_core.store.provenance import commit_in_words

# Of a configuration as YAML: no line is broken, as a list of numbers would be.
LINE = 10_000


@dataclass(frozen=True)
class Command:
    """What to type, and what it is for."""

    what: str
    line: str


@dataclass(frozen=True)
class Recipe:
    """`own` are the settings that differ from the defaults, `default` the others; `yaml` is a file for
    `configs/experiments`, of all seeds; `commit` the one of the training that is shown."""

    own: list[tuple[str, str]]
    default: list[tuple[str, str]]
    yaml: str
    commands: list[Command]
    commit: str | None


def recipe(group: str, experiments: list[Experiment], trained: Mapping[str, Manifest]) -> Recipe:
    """Of experiments that differ in their seed only; `trained`: by experiment, where there is one."""
    shown = next((item for item in experiments if item.name in trained), experiments[0])
    manifest = trained.get(shown.name)
    first = _as_trained(shown, manifest)
    own, default = _settings(first)
    return Recipe(
        own,
        default,
        _yaml(group, first, [experiment.seed for experiment in experiments]),
        _commands([experiment.name for experiment in experiments]),
        commit_in_words(manifest.provenance) if manifest else None,
    )


def _as_trained(experiment: Experiment, trained: Manifest | None) -> Experiment:
    """Today's configuration, unless it has changed since."""
    if trained is None or not config_changes(trained.config, experiment):
        return experiment
    recorded = recorded_experiment(trained.config, experiment.name)
    return Experiment.model_validate(
        {**recorded.training_config(), "name": experiment.name, "description": experiment.description}
    )


def _settings(experiment: Experiment) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    plain = Experiment(name="plain", dataset=experiment.dataset, length=experiment.length)
    usual = set(settings_in_words(plain.training_config()))
    rows = settings_in_words(experiment.training_config())
    always = ("Dataset", "Length")
    own = [row for row in rows if row not in usual or row[0] in always]
    return own, [row for row in rows if row not in own]


def _yaml(group: str, experiment: Experiment, seeds: list[int]) -> str:
    content: dict[str, Any] = {"name": group, **_written(experiment)}
    if len(seeds) > 1:
        content.pop("seed", None)
        content["grid"] = {"seed": seeds}
    yaml, output = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.width = None, LINE
    yaml.dump(content, output)
    return output.getvalue()


def _written(experiment: Experiment) -> dict[str, Any]:
    """What a file has to say: the keys that are not as by default, or all where that is another training."""
    short = experiment.model_dump(mode="json", exclude_defaults=True)
    again = Experiment.model_validate(short)
    whole = short if again == experiment else experiment.model_dump(mode="json", exclude_none=True)
    return {key: value for key, value in whole.items() if key != "name"}


def _commands(names: list[str]) -> list[Command]:
    each = " ".join(names)
    bundle = f"{names[0]}-bundle"
    pack = "Pack it for a stranger" if len(names) == 1 else "Pack the first for a stranger"
    return [
        Command("All of it through Dagster", f'make backfill EXPERIMENTS="{each}"'),
        Command("Train", _for_each(names, "train")),
        Command("Draw samples", _for_each(names, "sample")),
        Command("Measure them", _for_each(names, "evaluate")),
        Command(pack, f"python -m gan_core export {names[0]}"),
        Command("Draw and measure again, as a stranger", f"python -m gan_core verify {bundle}"),
        Command("Draw from the bundle", f"python -m gan_core sample {bundle} --out walk.gif"),
    ]


def _for_each(names: list[str], step: str) -> str:
    """A step of every seed, a line each."""
    return "\n".join(f"python -m gan_core {step} {name}" for name in names)
