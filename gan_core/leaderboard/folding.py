"""Seeds of one configuration folded into one row, with its rank among the rows of its table."""

import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan_core.evaluation.figures import FIGURES, is_missing
from gan_core.evaluation.metrics import METRICS, Metric, interval_names
from gan_core.evaluation.statistics.comparing import Candidate, ranks
from gan_core.evaluation.statistics.intervals import seeds_interval
from gan_core.leaderboard.rows import EXTERNAL, Entry

RANKED_BY = "fid"
# The metric whose evidence tells two configurations of one seed each apart.
TESTED_BY = "kid"
# A Fréchet distance that needs no network: a second opinion wherever it was measured.
SECOND_SPACE = "fwd"
ONE_SEED = "one seed: spread unknown"


@dataclass(frozen=True)
class Fold:
    """Experiments that differ in their seed only, in the order of their seeds."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def seeds(self) -> tuple[Entry, ...]:
        """One entry a seed: the same training under two names counts once."""
        by_seed = {entry.values["seed"]: entry for entry in reversed(self.entries)}
        return tuple(by_seed[seed] for seed in sorted(by_seed, key=lambda seed: (seed is None, seed)))

    @property
    def demotion(self) -> int:
        """How far it ranks below the others: as at least half of its seeds do, for whatever reason."""
        levels = sorted(entry.demotion for entry in self.seeds)
        return levels[len(levels) // 2]

    @property
    def notes(self) -> list[str]:
        """What has to stand beside it, each once."""
        return list(dict.fromkeys(note for entry in self.seeds for note in entry.notes))

    def values(self, figure: str) -> list[float]:
        """A figure of all seeds that have it."""
        found = [entry.values.get(figure) for entry in self.seeds]
        return [float(value) for value in found if not is_missing(value)]

    def mean(self, figure: str) -> float | None:
        values = self.values(figure)
        return statistics.fmean(values) if values else None


def fold(entries: Iterable[Entry]) -> list[Fold]:
    """The entries of one table, folded: seeds of one configuration are one."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.values["seed"] or 0, entry.name)):
        groups.setdefault(entry.group, []).append(entry)
    names = {key: _name(members) for key, members in groups.items()}
    taken = list(names.values())
    return [
        # Two configurations may be called alike but for their seeds: each is then called by its first one.
        Fold(names[key] if taken.count(names[key]) == 1 else members[0].name, tuple(members))
        for key, members in groups.items()
    ]


def folded_rows(
    folds: list[Fold], evidence: Mapping[str, dict[str, np.ndarray]] | None = None
) -> list[dict[str, Any]]:
    """The rows of one table, by column, best first.

    `evidence`: by experiment, the arrays of KID, by which configurations of one seed are compared. A row
    ranks behind each row that is shown to be better; what its samples are called impostors for ranks it
    behind all that are not.
    """
    ranked = ranks([_candidate(item, evidence or {}) for item in folds])
    rows = [
        _row(item, rank, folds, disagreements(item, rank, folds, ranked))
        for item, rank in zip(folds, ranked, strict=True)
    ]
    return sorted(rows, key=lambda row: (row["rank"], _last(row[RANKED_BY]), row["experiment"]))


def disagreements(item: Fold, rank: int, folds: list[Fold], ranked: list[int]) -> list[str]:
    """What another space says against the order of a table: `by fwd behind demo-acgan`.

    Rows that rank behind `item`, but have a lower mean Fréchet distance in the other space.
    """
    found = []
    for space in _spaces(folds):
        own = _in_space(item, space)
        worse = [
            other.name
            for other, of_other in zip(folds, ranked, strict=True)
            if of_other > rank
            and not other.demotion
            and own is not None
            and (value := _in_space(other, space)) is not None
            and value < own
        ]
        found += [f"by {space} behind {', '.join(sorted(worse))}"] if worse else []
    return found


def interval_over_seeds(values: list[float], *, is_share: bool) -> tuple[float, float] | None:
    """Student's interval of a figure, a value a seed, within the bounds that it does not know: a share has
    two, and what is never negative one. None of one seed."""
    interval = seeds_interval(values)
    if interval is None:
        return None
    low, high = interval
    low = max(low, 0.0) if min(values) >= 0 else low
    return (low, min(high, 1.0)) if is_share else (low, high)


# --- inside -----------------------------------------------------------------------------------------------


def _name(members: list[Entry]) -> str:
    """What the names of the members share; that of a single one."""
    if len(members) == 1:
        return members[0].name
    without = {entry.name.removesuffix(f"-seed-{entry.values['seed']}") for entry in members}
    if len(without) == 1:
        return without.pop()
    return os.path.commonprefix([entry.name for entry in members]).rstrip("-._") or members[0].name


def _candidate(item: Fold, evidence: Mapping[str, dict[str, np.ndarray]]) -> Candidate:
    first = item.seeds[0]
    ends = [first.values.get(name) for name in interval_names(RANKED_BY)]
    return Candidate(
        values={
            entry.values["seed"]: float(entry.values[RANKED_BY])
            for entry in item.seeds
            if not is_missing(entry.values.get(RANKED_BY))
        },
        interval=None if any(is_missing(end) for end in ends) else tuple(ends),
        evidence=evidence.get(first.name) or None,
        failed=item.demotion,
    )


def _row(item: Fold, rank: int, folds: list[Fold], against: list[str]) -> dict[str, Any]:
    first = item.seeds[0].values
    same = {key: first[key] for key in ("dataset", "architecture", "objective", "conditioning", "protocol")}
    figures: dict[str, Any] = {}
    for metric in METRICS.values():
        figures |= {name: item.mean(name) for name in metric.all_figures}
        figures |= dict(zip(interval_names(metric.main), _interval(item, metric), strict=True))
    return {
        "rank": rank,
        "experiment": item.name,
        **same,
        "seeds": len(item.values(RANKED_BY)) or len(item.seeds),
        "verdict": _verdict(item),
        "note": "; ".join([*_notes(item, folds), *against]),
        **figures,
        "images_seen": first["images_seen"],
        "images_per_second": item.mean("images_per_second"),
        "members": " ".join(entry.name for entry in item.entries),
    }


def _interval(item: Fold, metric: Metric) -> tuple[float | None, float | None]:
    """Over the seeds where there are several, else over samples of the one generator."""
    if len(item.seeds) > 1:
        interval = interval_over_seeds(item.values(metric.main), is_share=metric.is_share)
        return interval or (None, None)
    low, high = (item.mean(name) for name in interval_names(metric.main))
    return low, high


def _verdict(item: Fold) -> str:
    """The verdict of all seeds, or each with how many seeds have it."""
    verdicts = [entry.values["verdict"] for entry in item.seeds]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    counts = sorted({(-verdicts.count(text), text) for text in verdicts})
    return "; ".join(f"{text} ({-count} of {len(verdicts)})" for count, text in counts)


def _notes(item: Fold, folds: list[Fold]) -> list[str]:
    if item.seeds[0].values["architecture"] == EXTERNAL or len(item.seeds) > 1:
        return item.notes
    known = [
        f"{other.name} ± {FIGURES[RANKED_BY].write(statistics.stdev(values))}"
        for other in folds
        if len(values := other.values(RANKED_BY)) > 1
    ]
    spread = f"{ONE_SEED}; known of others: {', '.join(known)}" if known else ONE_SEED
    return [spread, *item.notes]


def _spaces(folds: list[Fold]) -> list[str]:
    extractors = {name for item in folds for entry in item.seeds for name in entry.spaces}
    return [*([SECOND_SPACE] if SECOND_SPACE in METRICS else []), *sorted(extractors)]


def _in_space(item: Fold, space: str) -> float | None:
    if space == SECOND_SPACE:
        return item.mean(METRICS[space].main)
    values = [entry.spaces[space] for entry in item.seeds if space in entry.spaces]
    return statistics.fmean(values) if values else None


def _last(value: float | None) -> tuple[bool, float]:
    return (is_missing(value), 0.0 if is_missing(value) else value)
