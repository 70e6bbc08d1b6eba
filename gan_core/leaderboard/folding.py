"""Seeds of one configuration folded into one row, with its rank among the rows of its table."""

import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan_core.evaluation.figures import FIGURES, is_missing
from gan_core.evaluation.metrics import METRICS, Metric, interval_names
from gan_core.evaluation.statistics.comparing import (
    LEVEL,
    Candidate,
    PairTests,
    holm_adjusted,
    pair_tests,
    ranked_pairs,
    ranks,
)
from gan_core.evaluation.statistics.intervals import seeds_interval
from gan_core.leaderboard.candidates import candidate_of, middle_demotion
from gan_core.leaderboard.rows import EXTERNAL, Entry
from gan_core.leaderboard.training_figures import IN_TABLES

RANKED_BY = "fid"
# The metric whose evidence tells two configurations of one seed each apart.
TESTED_BY = "kid"
# A Fréchet distance that needs no network: a second opinion wherever it was measured.
SECOND_SPACE = "fwd"
ONE_SEED = "one seed: spread unknown"
# A note names so many other rows; of more it says how many.
MOST_NAMED = 3


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
        return middle_demotion(entry.demotion for entry in self.seeds)

    @property
    def demoted_for(self) -> list[str]:
        """Why it does, each reason once."""
        reasons = [entry.values.get("demoted_for") or "" for entry in self.seeds if self.demotion]
        return list(dict.fromkeys(word for text in reasons for word in text.split(", ") if word))

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


@dataclass(frozen=True)
class Ranked:
    """Configurations of one table, with the tests that their ranks stand on."""

    folds: list[Fold]
    candidates: list[Candidate]
    tests: PairTests


def ranked(folds: list[Fold], evidence: Mapping[str, dict[str, np.ndarray]] | None = None) -> Ranked:
    """`evidence`: by experiment, the arrays of KID, by which configurations of one seed are compared."""
    candidates = [_candidate(item, evidence or {}) for item in folds]
    return Ranked(folds, candidates, pair_tests(candidates))


def folded_rows(table: Ranked) -> list[dict[str, Any]]:
    """The rows of one table, by column, best first.

    A row ranks behind each row that is shown to be better; what its samples are called impostors for ranks it
    behind all that are not.
    """
    found = ranks(table.candidates, table.tests)
    spread = _known_spread(table.folds)
    against = disagreements(table.folds, found)
    rows = [
        _row(item, rank, [*_notes(item, spread), *against.get(item.name, ())])
        for item, rank in zip(table.folds, found, strict=True)
    ]
    return sorted(rows, key=lambda row: (row["rank"], _last(row[RANKED_BY]), row["experiment"]))


def pairs_tested(table: Ranked) -> list[dict[str, Any]]:
    """A row for each two configurations that were tested, by column.

    `p_corrected` by Holm's procedure over all pairs whose order is a matter of tests, missing for others:
    there one ranks behind for its samples. `shown`: the table ranks them by this test.
    """
    pairs = ranked_pairs(table.candidates)
    p = [float(table.tests.p[pair]) for pair in pairs]
    corrected = dict(
        zip(pairs, holm_adjusted([1.0 if is_missing(value) else value for value in p]), strict=True)
    )
    return [
        {
            "experiment": table.folds[i].name,
            "other": table.folds[j].name,
            "test": table.tests.by[i, j],
            "p": float(table.tests.p[i, j]),
            "p_corrected": corrected.get((int(i), int(j))),
            "shown": corrected.get((int(i), int(j)), 1.0) <= LEVEL,
        }
        for i, j in np.argwhere(np.triu(~np.isnan(table.tests.p)))
    ]


def disagreements(folds: list[Fold], found_ranks: list[int]) -> dict[str, list[str]]:
    """By configuration, what another space says against the order of a table: `by fwd behind demo-acgan`.

    These rank behind it, but have a lower mean Fréchet distance in the other space.
    """
    found: dict[str, list[str]] = {}
    for space in _spaces(folds):
        values = {item.name: _in_space(item, space) for item in folds}
        honest = [
            (rank, values[item.name], item.name)
            for item, rank in zip(folds, found_ranks, strict=True)
            if values[item.name] is not None and not item.demotion
        ]
        for item, own_rank in zip(folds, found_ranks, strict=True):
            own = values[item.name]
            worse = [
                name for rank, value, name in honest if own is not None and rank > own_rank and value < own
            ]
            if worse:
                found.setdefault(item.name, []).append(f"by {space} behind {_named(sorted(worse))}")
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
    rows = [entry.values for entry in item.seeds]
    found = evidence.get(item.seeds[0].name)
    return candidate_of(RANKED_BY, rows, evidence=found, demotion=item.demotion)


def _row(item: Fold, rank: int, notes: list[str]) -> dict[str, Any]:
    first = item.seeds[0].values
    same = {key: first[key] for key in ("dataset", "architecture", "objective", "conditioning", "protocol")}
    tags = dict.fromkeys(tag for entry in item.entries for tag in entry.values["tags"].split())
    figures: dict[str, Any] = {}
    for metric in METRICS.values():
        figures |= {name: item.mean(name) for name in metric.all_figures}
        figures |= dict(zip(interval_names(metric.main), _interval(item, metric), strict=True))
    return {
        "rank": rank,
        "experiment": item.name,
        **same,
        "tags": " ".join(tags),
        "seeds": len(item.values(RANKED_BY)) or len(item.seeds),
        "verdict": _verdict(item),
        "note": "; ".join(notes),
        "demotion": item.demotion,
        "demoted_for": ", ".join(item.demoted_for),
        **figures,
        **{name: item.mean(name) for name in IN_TABLES},
        "images_seen": first["images_seen"],
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


def _notes(item: Fold, spread: str) -> list[str]:
    if item.seeds[0].values["architecture"] == EXTERNAL or len(item.seeds) > 1:
        return item.notes
    return [f"{ONE_SEED}; known of others: {spread}" if spread else ONE_SEED, *item.notes]


def _known_spread(folds: list[Fold]) -> str:
    """The standard deviations over the seeds of those that have several: `one ± 1.00`."""
    found = [
        (item.name, statistics.stdev(values)) for item in folds if len(values := item.values(RANKED_BY)) > 1
    ]
    write = FIGURES[RANKED_BY].write
    if len(found) <= MOST_NAMED:
        return ", ".join(f"{name} ± {write(value)}" for name, value in found)
    least, most = min(value for _, value in found), max(value for _, value in found)
    return f"± {write(least)} to ± {write(most)} in {len(found)} rows"


def _named(names: list[str]) -> str:
    """All of a few names; of many the first ones and how many more there are."""
    if len(names) <= MOST_NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


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
