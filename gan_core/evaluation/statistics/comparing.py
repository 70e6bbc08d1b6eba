"""Whether one experiment is better than another, or luck: tests between two, and ranks of many.

Needs neither torch nor images: only what an evaluation's manifest and its evidence hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gan_core.evaluation.statistics.intervals import NORMAL_QUANTILE

# How often, at most, a table may hold any order that is luck.
LEVEL = 0.05
NO_VALUE = 1_000


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


def beats(a: Candidate, b: Candidate) -> float:
    """The one-sided p-value of "a is better than b": small where a's lead is hardly luck.

    Several seeds each: the paired t-test over the seeds that both have, or Welch's where they share fewer
    than two. Several seeds and one: Student's t of the one against the spread of the several, which is taken
    to be its own. One seed each: relative MMD of their samples, or, without evidence, the difference of two
    figures with their intervals; it tells these two trainings apart, and says nothing of other seeds.
    1.0 where a's mean is not lower, or where nothing can be tested: seeds without any spread are copies.
    """
    if not a.values or not b.values or not a.mean < b.mean:
        return 1.0
    if len(a.values) > 1 or len(b.values) > 1:
        return _by_seeds(a.values, b.values)
    if a.evidence and b.evidence and len(a.evidence["real"]) == len(b.evidence["real"]):
        return relative_mmd(a.evidence, b.evidence)
    return _by_intervals(a, b)


def ranks(candidates: Sequence[Candidate]) -> list[int]:
    """1 + the number of candidates that are shown to be better: those that cannot be told apart share a rank.

    Shown: by `beats`, in two-sided tests of all pairs, corrected by Holm's procedure (1979), so that a table
    has a wrong order with a probability of at most `LEVEL`. Candidates stand behind all that fail less, and
    those without a value behind all others. None ranks before one with a lower mean that fails as little: a
    figure that is uncertain is no advantage.
    """
    groups = [_group(candidate) for candidate in candidates]
    pairs = [
        (i, j)
        for i in range(len(candidates))
        for j in range(len(candidates))
        if i < j and groups[i] == groups[j] < NO_VALUE
    ]
    found = [(beats(candidates[i], candidates[j]), beats(candidates[j], candidates[i])) for i, j in pairs]
    shown = holm([min(2 * min(both), 1.0) for both in found])
    better = [sum(other < own for other in groups) for own in groups]
    for (i, j), (forward, backward), significant in zip(pairs, found, shown, strict=True):
        if significant:
            better[j if forward < backward else i] += 1
    found_ranks = [1 + count for count in better]
    least: dict[int, int] = {}
    for i in sorted(range(len(candidates)), key=lambda i: candidates[i].mean if candidates[i].values else 0):
        least[groups[i]] = found_ranks[i] = max(found_ranks[i], least.get(groups[i], 1))
    return found_ranks


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
    p = min(2 * min(_by_seeds(a, b), _by_seeds(b, a)), 1.0)
    differences = _paired(a, b)
    if differences is not None:
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


def relative_mmd(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The one-sided p-value of "a's samples are nearer to the real images than b's" (Bounliphone et al.
    2016).

    The difference of two unbiased squared MMDs that share their real images is asymptotically normal. `own`
    (n,) is mean_j!=i k(x_i, x_j), `cross` (n,) is mean_j k(x_i, z_j), `real` (m,) is mean_i k(x_i, z_j): the
    evidence of KID, of the same real images z for both.
    """
    from scipy.stats import norm

    difference, variance = relative_mmd_statistic(a, b)
    if variance <= 0:
        return 0.0 if difference < 0 else 1.0
    return float(norm.cdf(difference / np.sqrt(variance)))


def relative_mmd_statistic(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> tuple[float, float]:
    """MMD^2(a, real) - MMD^2(b, real), unbiased, and its first-order variance."""
    difference = sum(
        sign * (side["own"].mean() - 2 * side["cross"].mean()) for sign, side in ((1, a), (-1, b))
    )
    variance = sum(4 / len(side["own"]) * (side["own"] - side["cross"]).var(ddof=1) for side in (a, b))
    variance += 4 / len(a["real"]) * (a["real"] - b["real"]).var(ddof=1)
    return float(difference), float(variance)


def _group(candidate: Candidate) -> int:
    return candidate.failed if candidate.values else NO_VALUE


def _by_seeds(a: dict[int | None, float], b: dict[int | None, float]) -> float:
    from scipy import stats

    differences = _paired(a, b)
    if differences is not None:
        return float(stats.ttest_1samp(differences, 0, alternative="less").pvalue)
    first, second = list(a.values()), list(b.values())
    if np.ptp(first) == np.ptp(second) == 0:
        return 1.0
    one_alone = min(len(first), len(second)) == 1
    return float(stats.ttest_ind(first, second, equal_var=one_alone, alternative="less").pvalue)


def _paired(a: dict[int | None, float], b: dict[int | None, float]) -> list[float] | None:
    """The differences over the seeds that both have; None for fewer than two. Equal differences, which
    rounding alone would tell apart, are judged by the spread of either side: None as well."""
    shared = [seed for seed in a if seed in b]
    differences = [a[seed] - b[seed] for seed in shared]
    if len(shared) < 2 or np.ptp(differences) <= 1e-9 * abs(differences[0]):
        return None
    return differences


def _by_intervals(a: Candidate, b: Candidate) -> float:
    from scipy.stats import norm

    if a.interval is None or b.interval is None:
        return 1.0
    errors = [(high - low) / (2 * NORMAL_QUANTILE) for low, high in (a.interval, b.interval)]
    error = float(np.hypot(*errors))
    return float(norm.cdf((a.mean - b.mean) / error)) if error else 1.0
