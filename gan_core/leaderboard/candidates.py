"""Seeds of one configuration as what the tests between two configurations read."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gan_core.evaluation.figures import FIGURES, is_missing
from gan_core.evaluation.metrics import interval_names
from gan_core.evaluation.statistics.comparing import Candidate


def candidate_of(
    figure: str,
    seeds: Iterable[Mapping[str, Any]],
    *,
    evidence: dict[str, np.ndarray] | None = None,
    demotion: int = 0,
) -> Candidate:
    """The `seeds` of one configuration, each by column as in the table of seeds, compared by one figure.

    Values and interval are turned so that lower is better. The same training under two names, which has one
    seed, counts once. `evidence`: the arrays of KID of the first seed; `demotion`: see `middle_demotion`.
    """
    sign = -1.0 if FIGURES[figure].better == "higher" else 1.0
    by_seed: dict[int | None, Mapping[str, Any]] = {}
    for row in seeds:
        if not is_missing(row.get(figure)):
            by_seed.setdefault(None if is_missing(row["seed"]) else int(row["seed"]), row)
    ends = [row.get(end) for row in list(by_seed.values())[:1] for end in interval_names(figure)]
    known = ends and not any(is_missing(end) for end in ends)
    return Candidate(
        values={seed: sign * float(row[figure]) for seed, row in by_seed.items()},
        interval=tuple(sorted(sign * float(end) for end in ends)) if known else None,
        evidence=evidence or None,
        failed=demotion,
    )


def middle_demotion(levels: Iterable[int]) -> int:
    """How far a configuration ranks below the others: as at least half of its seeds do, for whatever
    reason."""
    ordered = sorted(levels)
    return ordered[len(ordered) // 2] if ordered else 0
