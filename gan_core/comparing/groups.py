"""Runs folded into configurations, and what tells these apart."""

import fnmatch
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy

from gan_core.comparing.figures import COMPARED, Value
from gan_core.comparing.runs import Run
from gan_core.config import Question
from gan_core.evaluation.figures import percent
from gan_core.evaluation.statistics.intervals import Interval, seeds_interval, share_interval
from gan_core.leaderboard.folding import fold

# A name that two keys make is read, one that five make is not.
MOST_KEYS_IN_A_LABEL = 2
# Of a training's configuration, what no comparison is about: runs differ in it within a configuration.
SEED = "seed"
DATASET = "dataset"


@dataclass(frozen=True)
class Group:
    """One configuration: its runs, a seed each, and what it is called in the answer."""

    label: str
    runs: tuple[Run, ...]

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration by dotted key, without the seed."""
        return {key: value for key, value in self.runs[0].experiment.dotted().items() if key != SEED}

    @property
    def beside_data(self) -> str:
        """What it shares with the same configuration on another dataset."""
        return json.dumps(
            {key: value for key, value in self.config.items() if key != DATASET}, sort_keys=True
        )

    @property
    def failed(self) -> list[Run]:
        return [run for run in self.runs if run.failed]

    @property
    def why_failed(self) -> str:
        """The verdicts on the runs that failed, with how many of all runs have each."""
        texts = [run.verdict for run in self.failed]
        return "; ".join(f"{text} ({texts.count(text)} of {len(self.runs)})" for text in dict.fromkeys(texts))

    def values(self, figure: str) -> dict[int, Value]:
        """A figure by seed, of the runs that have it."""
        found = {run.seed: COMPARED[figure].of(figure, run) for run in self.runs}
        return {seed: value for seed, value in found.items() if value is not None}

    def numbers(self, figure: str) -> dict[int, float]:
        """The same as numbers; of a run that did not reach it, the end of that run."""
        return {seed: value.number for seed, value in self.values(figure).items()}

    def ended_before(self, figure: str) -> int:
        """How many runs ended before they reached it."""
        return sum(not value.reached for value in self.values(figure).values())

    def share_ended(self, figure: str) -> float:
        """The share of the runs that ended before they reached it."""
        return self.ended_before(figure) / max(len(self.values(figure)), 1)

    def summary(self, figure: str) -> float | None:
        """What is compared: the mean over the runs, their relative spread, or the share of them."""
        values = list(self.numbers(figure).values())
        if COMPARED[figure].kind == "spread":
            return stdev(numpy.log(values)) if len(values) > 1 else None
        return fmean(values) if values else None

    def interval(self, figure: str) -> Interval | None:
        """The 95% interval of `summary`; None where there are too few runs, all have the same, or some ended
        before."""
        values = list(self.numbers(figure).values())
        kind = COMPARED[figure].kind
        if kind == "share":
            return share_interval(sum(values), len(values))
        if self.ended_before(figure) or len(set(values)) < 2:  # equal values say nothing of a spread
            return None
        if kind == "spread":
            return _spread_interval(values)
        low, high = seeds_interval(values)
        # Student's interval knows no bounds: a share has two, and what is never negative one.
        low = max(low, 0.0) if min(values) >= 0 else low
        # A part of what real images have is no share: it may be more than all.
        is_share = COMPARED[figure].figure.write is percent and COMPARED[figure].has_better_side
        return (low, min(high, 1.0)) if is_share else (low, high)


@dataclass(frozen=True)
class Table:
    """Configurations that may be compared: one dataset, one protocol."""

    dataset: str
    protocol: str
    groups: tuple[Group, ...]

    def measured(self, figure: str) -> list[Group]:
        """The configurations that have a figure, the best first; the lowest where no side is better."""
        having = [group for group in self.groups if group.summary(figure) is not None]
        sign = -1 if COMPARED[figure].figure.better == "higher" else 1
        return sorted(having, key=lambda group: (group.share_ended(figure), sign * group.summary(figure)))


def tables_of(runs: Iterable[Run], question: Question) -> list[Table]:
    """The runs folded into configurations, in tables of those that have one dataset and one protocol."""
    by_table: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        values = run.entry.values
        by_table.setdefault((values["dataset"], values["protocol"]), []).append(run)
    return [
        Table(dataset, protocol, tuple(_groups(members, question)))
        for (dataset, protocol), members in sorted(by_table.items())
    ]


def differing(groups: Iterable[Group]) -> dict[str, list[Any]]:
    """The keys in which configurations differ, beside the seed, with their values in the groups' order."""
    groups = list(groups)
    keys = dict.fromkeys(key for group in groups for key in group.config)
    values = {key: [group.config.get(key) for group in groups] for key in keys}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


# --- inside -----------------------------------------------------------------------------------------------


def _groups(runs: list[Run], question: Question) -> list[Group]:
    by_name = {run.name: run for run in runs}
    folds = fold([run.entry for run in runs])
    groups = [Group(item.name, tuple(by_name[entry.name] for entry in item.seeds)) for item in folds]
    labels = _labels(groups, question)
    groups = [Group(label, group.runs) for label, group in zip(labels, groups, strict=True)]
    numbers = [
        key
        for key, values in differing(groups).items()
        if all(isinstance(value, int | float) for value in values)
    ]
    # In the order of the file; of one pattern a batch of 64 before one of 128.
    return sorted(
        groups,
        key=lambda group: (
            _position(group, question),
            [float(group.config[key]) for key in numbers],
            group.label,
        ),
    )


def _labels(groups: list[Group], question: Question) -> list[str]:
    """What the question calls them; else the values of the keys that tell them apart; else their names."""
    keys = list(question.along) or [key for key in differing(groups) if key != DATASET]
    readable = bool(question.along) or 0 < len(keys) <= MOST_KEYS_IN_A_LABEL
    labels = [
        question.label_of(group.runs[0].name)
        or (", ".join(_setting(key, group.config.get(key)) for key in keys) if readable else group.label)
        for group in groups
    ]
    return [
        label if labels.count(label) == 1 else f"{label} ({group.label})"
        for label, group in zip(labels, groups, strict=True)
    ]


def _setting(key: str, value: Any) -> str:
    """`label smoothing 0.1`, `spectral norm on`, `conditioning acgan`."""
    leaf = key.removesuffix(".name").rpartition(".")[2].replace("_", " ")
    words = {True: "on", False: "off", None: "none"}
    return f"{leaf} {words[value] if value is None or isinstance(value, bool) else value}"


def _position(group: Group, question: Question) -> int:
    """The first of the question's labels, else patterns, that it belongs to: the order of the file."""
    label = question.label_of(group.runs[0].name)
    if label:
        return list(question.labels).index(label)
    name = group.runs[0].name
    matching = (i for i, pattern in enumerate(question.experiments) if fnmatch.fnmatchcase(name, pattern))
    return len(question.labels) + next(matching)


def _spread_interval(values: list[float]) -> Interval:
    """Of the standard deviation of logarithms that are normal, by the chi-squared distribution."""
    from scipy.stats import chi2

    deviation, degrees = stdev(numpy.log(values)), len(values) - 1
    low, high = (float(numpy.sqrt(degrees / chi2.ppf(p, degrees))) for p in (0.975, 0.025))
    return deviation * low, deviation * high
