"""An experiment file's `grid`: one file, many experiments."""

import itertools
import math
from pathlib import Path
from typing import Any

from gan_core.config.experiments import Experiment
from gan_core.config.mistakes import few_lines, validated
from gan_core.config.yaml_files import Document
from gan_core.errors import ConfigError

MOST_POINTS = 1_000  # of one grid


def load_experiments(path: Path) -> list[Experiment]:
    """The experiments of one YAML file: one, or every point of its `grid`.

    `grid` maps dotted keys to lists of values. A point is named `<name>-<last part of key>-<value>…` in the
    order of the grid's keys, underscores as hyphens: `grid: {batch_size: [128, 256]}` gives
    `bedroom-batch-size-128` and `bedroom-batch-size-256`. Raises `ConfigError`.
    """
    return experiments_of(Document(path))


def experiments_of(document: Document) -> list[Experiment]:
    """See `load_experiments`."""
    data = dict(document.data)
    grid = data.pop("grid", None)
    if grid is None:
        return [validated(Experiment, data, document)]
    if not isinstance(grid, dict) or not all(isinstance(v, list) and v for v in grid.values()):
        raise ConfigError(
            f"{document.at('grid')}: grid maps keys to non-empty lists of values, "
            "for example `batch_size: [128, 256]`"
        )
    if "name" in grid:
        raise ConfigError(f"{document.at('grid')}: grid cannot vary `name`: each point gets one of its own")
    for key, values in grid.items():
        if any(isinstance(value, dict) for value in values):
            raise ConfigError(
                f"{document.at(key)}: grid varies single values, and `{key}` has sections: name the key that "
                f"varies, for example `{key}.name: [...]`"
            )
        if repeated := [value for index, value in enumerate(values) if value in values[:index]]:
            raise ConfigError(f"{document.at(key)}: grid has `{repeated[0]}` twice in `{key}`: remove one")
    points = math.prod(len(values) for values in grid.values())
    if points > MOST_POINTS:
        raise ConfigError(
            f"{document.at('grid')}: the grid has {points:,} points: one file makes at most {MOST_POINTS:,} "
            "experiments; shorten its lists, or divide them among several files"
        )
    experiments, mistakes = [], []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        try:
            experiments.append(validated(Experiment, _grid_point(data, point, document), document))
        except ConfigError as error:
            mistakes += str(error).splitlines()
    if mistakes:
        raise ConfigError(few_lines(list(dict.fromkeys(mistakes))))  # most are in every point
    return experiments


def _grid_point(data: dict, point: dict[str, Any], document: Document) -> dict:
    name = str(data.get("name", ""))
    for dotted, value in point.items():
        text = "-".join(map(str, value)) if isinstance(value, list) else str(value)
        name += f"-{str(dotted).split('.')[-1]}-{text}".replace("_", "-").lower()
    return {**with_values(data, point, document), "name": name}


def with_values(data: dict, values: dict[str, Any], document: Document) -> dict:
    """A copy of an experiment's `data` with these values, by dotted key. Raises `ConfigError` for a key below
    what is no section."""
    for dotted, value in values.items():
        *parents, leaf = str(dotted).split(".")
        data = dict(data)
        section = data
        for parent in parents:
            inner = section.get(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{document.at(dotted)}: `{dotted}` does not name a key of a section")
            section[parent] = dict(inner)
            section = section[parent]
        section[leaf] = value
    return data
