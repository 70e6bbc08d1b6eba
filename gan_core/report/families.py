"""Which configurations belong together because they differ in few keys: the points of a grid, with whatever
fits in between, the trials of a sweep, and all that differ in one key alone. Seeds of one configuration are
one point."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_core.config import Configs, Experiment

SEED, DATASET = "seed", "dataset"


@dataclass(frozen=True)
class Point:
    """One configuration: the values of the family's keys, and its experiments, one a seed."""

    values: tuple[Any, ...]
    experiments: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """Configurations of one dataset that differ in `keys` (dotted), in the order of their values."""

    name: str
    dataset: str
    keys: tuple[str, ...]
    points: tuple[Point, ...]
    sweep: str = ""
    """The sweep whose trials it has, if it has any."""

    @property
    def experiments(self) -> frozenset[str]:
        return frozenset(name for point in self.points for name in point.experiments)

    def values(self, position: int) -> list[Any]:
        """The values of a key, each once: numbers by size, words as they come."""
        found = list(
            {_text(point.values[position]): point.values[position] for point in self.points}.values()
        )
        return sorted(found) if are_numbers(found) else found


def families(configs: Configs) -> list[Family]:
    """All families of at least two points, none of them within another, the grids first."""
    known = _Known(configs.experiments)
    found = [*_grids(configs, known), *_one_key_apart(known)]
    # The larger ones first: a row of a grid is no family of its own.
    by_size = sorted(found, key=lambda family: -len(family.experiments))
    kept: list[Family] = []
    for family in by_size:
        if not any(family.experiments <= other.experiments for other in kept):
            kept.append(family)
    return _named_apart([family for family in found if family in kept])


def are_numbers(values: Iterable[Any]) -> bool:
    """Whether all are numbers, which have an order; true and false are words."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


# --- inside -----------------------------------------------------------------------------------------------


class _Known:
    """The configurations by dotted key: of hundreds, only what differs is compared."""

    def __init__(self, experiments: dict[str, Experiment]):
        self.values = {name: item.dotted() for name, item in experiments.items()}
        self._texts = {
            name: {key: _text(value) for key, value in values.items()} for name, values in self.values.items()
        }
        self.datasets: dict[str, list[str]] = {}
        for name, item in experiments.items():
            self.datasets.setdefault(item.dataset, []).append(name)
        self.differing = {dataset: self._differing(names) for dataset, names in self.datasets.items()}

    def _differing(self, names: list[str]) -> tuple[str, ...]:
        """The keys that have several values among these, beside the seed."""
        found: dict[str, set[str]] = {}
        for name in names:
            for key, text in self._texts[name].items():
                found.setdefault(key, set()).add(text)
        everywhere = (key for key in found if all(key in self._texts[name] for name in names))
        alike = {key for key in everywhere if len(found[key]) == 1}
        return tuple(key for key in found if key not in alike and key != SEED)

    def rest(self, name: str, keys: Iterable[str]) -> tuple[str | None, ...]:
        """What sets a configuration apart from others of its dataset but for `keys` and the seed."""
        texts = self._texts[name]
        return tuple(texts.get(key) for key in self.differing[self.values[name][DATASET]] if key not in keys)

    def point(self, name: str, keys: Iterable[str]) -> tuple[Any, ...]:
        return tuple(self.values[name].get(key) for key in keys)


def _grids(configs: Configs, known: _Known) -> Iterator[Family]:
    """A family for each sweep, and for each grid file and dataset, with the configurations of other files
    that continue it."""
    files: dict[tuple[Path, str], list[str]] = {}
    for name in configs.grid_keys:
        if name in configs.experiments:
            file = configs.files[f"experiments/{name}"]
            files.setdefault((file, configs.experiments[name].dataset), []).append(name)
    several = {file for file, _ in files if sum(other == file for other, _ in files) > 1}
    for (file, dataset), names in files.items():
        keys = [key for key in configs.grid_keys[names[0]] if key not in (SEED, DATASET)]
        if not keys:
            continue
        within = {known.rest(name, keys) for name in names}
        inside = [name for name in known.datasets[dataset] if known.rest(name, keys) in within]
        others = [name for name in inside if name not in names and _fits(name, keys, names, known)]
        title = f"{file.stem}-{dataset}" if file in several else file.stem
        family = _family(title, dataset, keys, [*names, *others], known)
        if family:
            yield replace(family, sweep=configs.sweep_of.get(names[0], ""))


def _fits(name: str, keys: list[str], grid: list[str], known: _Known) -> bool:
    """Whether a configuration adds a value to one key of a grid at most: else it would stand alone in it."""
    own = known.point(name, keys)
    columns = zip(own, *(known.point(member, keys) for member in grid), strict=True)
    return sum(_text(value) not in map(_text, others) for value, *others in columns) <= 1


def _one_key_apart(known: _Known) -> Iterator[Family]:
    for dataset, names in known.datasets.items():
        for key in known.differing[dataset]:
            classes: dict[tuple[str | None, ...], list[str]] = {}
            for name in names:
                classes.setdefault(known.rest(name, [key]), []).append(name)
            for members in classes.values():
                slug = re.sub(r"[._]", "-", key.removesuffix(".name"))
                family = _family(f"{slug}-of-{_shortest(members)}", dataset, [key], members, known)
                if family:
                    yield family


def _family(name: str, dataset: str, keys: list[str], names: list[str], known: _Known) -> Family | None:
    """None where no key has two values. Of two configurations with the same values the first one is it."""
    keys = [key for key in keys if len({_text(known.values[member].get(key)) for member in names}) > 1]
    points: dict[str, list[str]] = {}
    for member in names:
        seeds = points.setdefault(_text(known.point(member, keys)), [])
        if not seeds or known.rest(seeds[0], keys) == known.rest(member, keys):
            seeds.append(member)
    if not keys or len(points) < 2:
        return None
    found = [Point(known.point(seeds[0], keys), tuple(seeds)) for seeds in points.values()]
    found.sort(key=lambda point: [_order(value) for value in point.values])
    return Family(name, dataset, tuple(keys), tuple(found))


def _order(value: Any) -> tuple[int, float, str]:
    number = are_numbers([value])
    return (0, float(value), "") if number else (1, 0.0, _text(value))


def _shortest(names: list[str]) -> str:
    """What a family is called by: its plainest experiment, without the seed."""
    return min((re.sub(r"-seed-\d+$", "", name) for name in names), key=lambda name: (len(name), name))


def _named_apart(found: list[Family]) -> list[Family]:
    names = [family.name for family in found]
    return [
        family
        if names.count(family.name) == 1
        else replace(family, name=f"{family.name}-{names[:index].count(family.name) + 1}")
        for index, family in enumerate(found)
    ]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
