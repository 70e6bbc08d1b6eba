"""Whether one experiment is better than another, or luck: tests between two, and ranks of many.

Needs neither torch nor images: only what an evaluation's manifest and its evidence hold.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gan_core.evaluation.statistics.intervals import NORMAL_QUANTILE

# How often, at most, a table may hold any order that is luck.
LEVEL = 0.05
NO_VALUE = 1_000
# Differences between seeds of rows that are looked at together: a table of any size is compared in 100 MB.
MOST_DIFFERENCES = 2_000_000


@dataclass(frozen=True)
class Candidate:
    """A row of a leaderboard: experiments that differ in their training seed only.

    `values`: the main figure (lower is better), such as the FID, by seed; empty if nothing was measured.
    `interval`: the 95% interval of the figure of one seed over other samples. `evidence`: the arrays `own`
    (n,), `cross` (n,) and `real` (m,) of the first seed's KID. `failed`: how far it fails by its samples; it
    stands behind all that fail less.
    """

    values: dict[int | None, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    evidence: dict[str, np.ndarray] | None = None
    failed: int = 0

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))


TESTS = {
    "paired": "the paired t-test over the seeds that both have",
    "welch": "Welch's t-test, since they share fewer than two seeds",
    "one_seed": "Student's t-test of the one seed against the spread of the others' seeds",
    "mmd": "the relative MMD test of their samples: it tells these two trainings apart, and says nothing of "
    "other seeds",
    "intervals": "the difference of two figures with their intervals over samples: it tells these two "
    "trainings apart, and says nothing of other seeds",
}
"""What two candidates may be compared by, in words."""


@dataclass(frozen=True)
class PairTests:
    """The tests of all pairs of candidates.

    `p` (n, n): the two-sided p-values of "they are equally good", NaN where nothing can be tested. `by`
    (n, n): the test, a key of `TESTS`, or "".
    """

    p: np.ndarray
    by: np.ndarray


def beats(a: Candidate, b: Candidate) -> float:
    """The one-sided p-value of "a is better than b": small where a's lead is hardly luck.

    The test is that of `pair_tests`. 1.0 where a's mean is not lower, or where nothing can be tested: seeds
    without any spread are copies.
    """
    if not a.values or not b.values or not a.mean < b.mean:
        return 1.0
    p = _lower(_prepared([a, b]))[0][0, 1]
    return 1.0 if np.isnan(p) else float(p)


def pair_tests(candidates: Sequence[Candidate]) -> PairTests:
    """The test of each pair of candidates, chosen by what is known of both.

    Several seeds each: the paired t-test over the seeds that both have, or Welch's where they share fewer
    than two. Several seeds and one: Student's t of the one against the spread of the several, which is taken
    to be its own. One seed each: relative MMD of their samples, or, without evidence, the difference of two
    figures with their intervals; it tells these two trainings apart, and says nothing of other seeds.
    """
    lower, by = _lower(_prepared(candidates))
    means = np.array([candidate.mean if candidate.values else np.nan for candidate in candidates])
    # The mean of all seeds says which one leads; of the seeds that are tested it may be the other one.
    difference = means[:, None] - means
    ahead = np.where(difference < 0, lower, np.where(difference > 0, 1 - lower, 1.0))
    p = np.where(np.isnan(lower), np.nan, np.minimum(2 * ahead, 1.0))
    np.fill_diagonal(p, np.nan)
    np.fill_diagonal(by, "")
    return PairTests(p, by)


def ranks(candidates: Sequence[Candidate], tests: PairTests | None = None) -> list[int]:
    """1 + the number of candidates that are shown to be better; those that none of these separates share a
    rank.

    Shown: by `pair_tests`, of all pairs, corrected by Holm's procedure (1979), so that a table has a wrong
    order with a probability of at most `LEVEL`. Candidates stand behind all that fail less, and those without
    a value behind all others. None ranks before one with a lower mean that fails as little: a figure that is
    uncertain is no advantage. `tests`: those of the candidates, where they are known already.
    """
    groups = [_group(candidate) for candidate in candidates]
    means = [candidate.mean if candidate.values else 0.0 for candidate in candidates]
    better = [sum(other < own for other in groups) for own in groups]
    pairs = ranked_pairs(candidates)
    p = (tests or pair_tests(candidates)).p
    shown = holm([1.0 if np.isnan(p[pair]) else float(p[pair]) for pair in pairs])
    for (i, j), significant in zip(pairs, shown, strict=True):
        if significant:
            better[j if means[i] < means[j] else i] += 1
    found_ranks = [1 + count for count in better]
    least: dict[int, int] = {}
    for i in sorted(range(len(candidates)), key=lambda i: means[i]):
        least[groups[i]] = found_ranks[i] = max(found_ranks[i], least.get(groups[i], 1))
    return found_ranks


def ranked_pairs(candidates: Sequence[Candidate]) -> list[tuple[int, int]]:
    """The pairs whose order is a matter of tests: of those that have a value and fail as little."""
    groups = [_group(candidate) for candidate in candidates]
    return [
        (i, j) for i, j in itertools.combinations(range(len(groups)), 2) if groups[i] == groups[j] < NO_VALUE
    ]


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of these hypotheses are rejected by Holm's step-down procedure (1979).

    The smallest p-value is compared with level / N, the next with level / (N - 1), until one is larger. It
    holds the level whatever the tests depend on one another, as tests between the rows of one table do.
    """
    rejected = [False] * len(p_values)
    for done, number in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[number] > level / (len(p_values) - done):
            break
        rejected[number] = True
    return rejected


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: a hypothesis is rejected by `holm` at any level that is no smaller."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, number in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min((len(p_values) - done) * float(p_values[number]), 1.0))
        adjusted[number] = largest
    return adjusted


@dataclass(frozen=True)
class SeedDifference:
    """The difference of a figure between two configurations over their seeds.

    `mean` is that of a less that of b, `error` its standard error with so many `degrees` of freedom, `p` the
    two-sided p-value of "it is zero". `paired`: over the seeds that both have.
    """

    mean: float
    error: float
    degrees: float
    p: float
    paired: bool

    def least_seen(self, level: float = LEVEL) -> float:
        """The smallest difference that a two-sided test at `level` would show with this error."""
        from scipy.stats import t

        return float(t.ppf(1 - level / 2, self.degrees)) * self.error


def seed_difference(a: dict[int, float], b: dict[int, float]) -> SeedDifference | None:
    """The tests of `beats` between values by seed, both ways; None for fewer than two seeds on either side,
    or where no seed differs from another.

    Paired over the common seeds, else Welch's test, its degrees by Satterthwaite.
    """
    if min(len(a), len(b)) < 2 or np.ptp(list(a.values())) == np.ptp(list(b.values())) == 0:
        return None
    known = _prepared([Candidate(a), Candidate(b)])
    lower, by = (found[0, 1] for found in _lower(known))
    p = float(min(2 * min(lower, 1 - lower), 1.0))
    if by == "paired":
        differences = np.array([a[seed] - b[seed] for seed in a if seed in b])
        n = len(differences)
        error = float(np.std(differences, ddof=1) / np.sqrt(n))
        return SeedDifference(float(np.mean(differences)), error, n - 1, p, True)
    sides = [np.array(list(side.values())) for side in (a, b)]
    parts = [values.var(ddof=1) / len(values) for values in sides]
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, sides, strict=True)
    )
    mean = float(sides[0].mean() - sides[1].mean())
    return SeedDifference(mean, float(np.sqrt(sum(parts))), float(degrees), p, False)


def relative_mmd(evidence: Sequence[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Of all pairs, the row's squared MMD to the real images less the column's, unbiased, (n, n), and its
    first-order variance (Bounliphone et al. 2016).

    The difference of two MMDs that share their real images is asymptotically normal. `own` (n,) is
    mean_j!=i k(x_i, x_j), `cross` (n,) is mean_j k(x_i, z_j), `real` (m,) is mean_i k(x_i, z_j): the evidence
    of KID, of the same real images z for all.
    """
    of_samples = np.array([_of_own_samples(side) for side in evidence])
    real = np.array([side["real"] for side in evidence], dtype=float)
    variance = of_samples[:, 1, None] + of_samples[:, 1]
    variance += 4 / real.shape[1] * _variances_of_differences(real)
    return of_samples[:, 0, None] - of_samples[:, 0], variance


def _of_own_samples(side: dict[str, np.ndarray]) -> tuple[float, float]:
    """What one side adds to the statistic and to its variance, whatever the other is."""
    own, cross = side["own"], side["cross"]
    return float(own.mean() - 2 * cross.mean()), float(4 / len(own) * (own - cross).var(ddof=1))


def _group(candidate: Candidate) -> int:
    return candidate.failed if candidate.values else NO_VALUE


@dataclass(frozen=True)
class _Prepared:
    """What all tests of a list of candidates need, as arrays with a row each.

    `values` (n, seeds): NaN where it has no such seed. `error` (n,): that of the figure of one seed over
    other samples, NaN where it is not known. `evidence`: of the rows of one seed that have it.
    """

    values: np.ndarray
    error: np.ndarray
    evidence: dict[int, dict[str, np.ndarray]]


def _prepared(candidates: Sequence[Candidate]) -> _Prepared:
    seeds = {seed: None for candidate in candidates for seed in candidate.values} or {None: None}
    values = [[candidate.values.get(seed, np.nan) for seed in seeds] for candidate in candidates]
    error = [
        np.nan if item.interval is None else (item.interval[1] - item.interval[0]) / (2 * NORMAL_QUANTILE)
        for item in candidates
    ]
    alone = {i: item.evidence for i, item in enumerate(candidates) if item.evidence and len(item.values) == 1}
    shape = len(candidates), len(seeds)
    return _Prepared(np.array(values, dtype=float).reshape(shape), np.array(error, dtype=float), alone)


def _lower(known: _Prepared) -> tuple[np.ndarray, np.ndarray]:
    """(n, n): the one-sided p-values of "the row's is lower than the column's", and the tests."""
    count = (~np.isnan(known.values)).sum(axis=1)
    p_paired, p_others = _paired(known.values), _unpaired(known.values)
    p = np.where(np.isnan(p_paired), p_others, p_paired)
    one_alone = np.minimum(count[:, None], count) == 1
    by = np.where(np.isnan(p_paired), np.where(one_alone, "one_seed", "welch"), "paired")
    one_each = np.maximum(count[:, None], count) == 1
    for found, name in ((_by_intervals(known), "intervals"), (_by_samples(known), "mmd")):
        tested = one_each & ~np.isnan(found)
        p, by = np.where(tested, found, p), np.where(tested, name, by)
    return p, np.where(np.isnan(p), "", by).astype(object)


def _by_samples(known: _Prepared) -> np.ndarray:
    """Relative MMD between all that have evidence of equally many real images."""
    from scipy.special import ndtr

    p = np.full((len(known.values), len(known.values)), np.nan)
    sizes = {len(evidence["real"]) for evidence in known.evidence.values()}
    for size in sizes:
        rows = [i for i, evidence in known.evidence.items() if len(evidence["real"]) == size]
        difference, variance = relative_mmd([known.evidence[i] for i in rows])
        with np.errstate(divide="ignore", invalid="ignore"):
            certain = np.where(difference < 0, 0.0, 1.0)
            p[np.ix_(rows, rows)] = np.where(variance > 0, ndtr(difference / np.sqrt(variance)), certain)
    return p


def _variances_of_differences(rows: np.ndarray) -> np.ndarray:
    """(n, n): the variance of the difference of every two rows (n, m)."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    products = centred @ centred.T
    squares = np.diag(products)
    return np.maximum(squares[:, None] + squares - 2 * products, 0.0) / (rows.shape[1] - 1)


def _by_intervals(known: _Prepared) -> np.ndarray:
    from scipy.special import ndtr

    means = np.nansum(known.values, axis=1)  # of one seed
    error = np.hypot(known.error[:, None], known.error)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ndtr((means[:, None] - means) / error)
    return np.where(error == 0, 1.0, p)


def _paired(values: np.ndarray) -> np.ndarray:
    """The paired t-tests; NaN for fewer than two common seeds. Equal differences, which rounding alone would
    tell apart, are judged by the spread of either side: NaN as well."""
    from scipy.special import stdtr

    p = np.full((len(values), len(values)), np.nan)
    rows_at_once = max(1, MOST_DIFFERENCES // max(values.size, 1))
    for start in range(0, len(values), rows_at_once):
        differences = values[start : start + rows_at_once, None] - values
        shared = ~np.isnan(differences)
        count = shared.sum(axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(shared, differences, 0.0).sum(axis=2) / count
            away = np.where(shared, differences - mean[..., None], 0.0)
            deviation = np.sqrt((away**2).sum(axis=2) / (count - 1))
            tested = (count > 1) & (deviation > 1e-9 * abs(mean))
            found = stdtr(count - 1, mean / (deviation / np.sqrt(count)))
        p[start : start + rows_at_once] = np.where(tested, found, np.nan)
    return p


def _unpaired(values: np.ndarray) -> np.ndarray:
    """Welch's tests; where one side has one seed, Student's with the spread of the other."""
    from scipy.special import stdtr

    known = ~np.isnan(values)
    n = known.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=1) / n
        squares = (np.where(known, values - mean[:, None], 0.0) ** 2).sum(axis=1)
        part = squares / (n - 1) / n
        both, others = n[:, None] + n - 2, np.minimum(n[:, None], n)
        pooled = (squares[:, None] + squares) / both * (1 / n[:, None] + 1 / n)
        welch = (part[:, None] + part) ** 2 / ((part**2 / (n - 1))[:, None] + part**2 / (n - 1))
        error = np.sqrt(np.where(others == 1, pooled, part[:, None] + part))
        p = stdtr(np.where(others == 1, both, welch), (mean[:, None] - mean) / error)
    # Seeds without any spread are copies, and of one seed each nothing is known.
    return np.where((squares[:, None] + squares > 0) & (both > 0), p, np.nan)
