"""Tests between every two configurations of a table, for every figure of a question, corrected together.

What is compared decides the test, all two-sided: of means the paired t-test over the common seeds (Welch's
where there are fewer than two), of spreads the F-test of two variances of logarithms, of shares, and of
figures that not all runs reached, Fisher's exact test. Holm's procedure (1979) corrects over all tests of the
question, but for those that so few runs could not pass whatever came out (Tarone 1990).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean, variance

import numpy

from gan_core.comparing.figures import COMPARED
from gan_core.comparing.groups import Group, Table
from gan_core.evaluation.figures import percent
from gan_core.evaluation.statistics.comparing import (
    LEVEL,
    SeedDifference,
    holm,
    holm_adjusted,
    seed_difference,
)

# Of one run nobody knows how far others would be from it.
FEWEST_RUNS = 2
OTHER_DEVICES = "they were trained on different devices"
SAME = "every run of a configuration has the same"


@dataclass(frozen=True)
class Least:
    """What a test could not have shown: `text`, with a place for the smallest `number` that it would have
    shown where there is one."""

    text: str
    number: float = 0.0
    write: Callable[[float], str] = str

    @property
    def sentence(self) -> str:
        return self.text.format(self.write(self.number))


@dataclass(frozen=True)
class Test:
    """A test of two configurations, `a` and `b`: its p-value, and what it could not have shown at a level.

    `lead`: above 0 where what was tested speaks for `a`, below 0 for `b`. `of_these`: what was tested, where
    it is not the figures of all runs of both. `least_p`: the smallest p-value that any outcome would have.
    """

    p: float
    least: Callable[[float], Least]
    lead: float
    of_these: str = ""
    least_p: float = 0.0


@dataclass(frozen=True)
class Difference:
    """Two configurations of one table by one figure; `ahead` is the better one of what was tested, or either
    where they tie.

    `p`: Holm's adjusted p-value, None where there is no test, and `why` says why. `shown`: the test shows
    that `ahead` is better. `least`: what would not have been, where it does not. `of_these`: see `Test`.
    """

    table: Table
    figure: str
    ahead: Group
    behind: Group
    p: float | None = None
    shown: bool = False
    least: Least | None = None
    why: str = ""
    of_these: str = ""


def differences(tables: list[Table], figures: tuple[str, ...]) -> list[Difference]:
    """Every pair of configurations of every table, by every figure that both have, in that order."""
    pairs = [
        (table, figure, *pair)
        for table in tables
        for figure in figures
        for pair in itertools.combinations(table.measured(figure), 2)
    ]
    found = _without_hopeless([_test(figure, ahead, behind) for _, figure, ahead, behind in pairs])
    tests = [test for test in found if isinstance(test, Test)]
    p_values = [test.p for test in tests]
    shown = holm(p_values)
    # The level of the step at which Holm's procedure ended: what was not shown was not shown at this one.
    level = LEVEL / max(len(tests) - sum(shown), 1)
    results = iter(zip(tests, holm_adjusted(p_values), shown, strict=True))
    made = []
    for (table, figure, ahead, behind), test in zip(pairs, found, strict=True):
        if isinstance(test, str):
            made.append(Difference(table, figure, ahead, behind, why=test))
            continue
        _, p, is_shown = next(results)
        least = None if is_shown else test.least(level)
        # The means of all runs may lie the other way round than those of the seeds that were tested.
        ordered = (behind, ahead) if test.lead < 0 else (ahead, behind)
        made.append(Difference(table, figure, *ordered, p, is_shown, least, of_these=test.of_these))
    return made


# --- inside -----------------------------------------------------------------------------------------------


def _without_hopeless(found: list[Test | str]) -> list[Test | str]:
    """Says why there is no test in place of each that could not show anything.

    Tarone (1990): with K the smallest number for which at most K tests can have a p-value of LEVEL / K, the
    others take nothing of the level, for they cannot show anything. What a test can show depends on the
    numbers of runs only, and so not on what came out.
    """
    least = [test.least_p for test in found if isinstance(test, Test)]
    if not least:
        return found
    counted = next(k for k in range(1, len(least) + 1) if sum(p <= LEVEL / k for p in least) <= k)
    return [
        test.least(LEVEL / counted).sentence
        if isinstance(test, Test) and test.least_p > LEVEL / counted
        else test
        for test in found
    ]


def _test(figure: str, a: Group, b: Group) -> Test | str:
    """The test of a pair, or why there is none."""
    compared = COMPARED[figure]
    if min(len(a.numbers(figure)), len(b.numbers(figure))) < FEWEST_RUNS:
        return "one seed says nothing of others"
    if compared.needs_level and len({run.measured_by for run in (*a.runs, *b.runs)}) > 1:
        return "their in-training FIDs were measured otherwise, and do not compare"
    if compared.of_device and len({run.device for run in (*a.runs, *b.runs)}) > 1:
        return OTHER_DEVICES
    if compared.kind == "spread":
        return _of_spreads(list(a.numbers(figure).values()), list(b.numbers(figure).values()))
    if compared.kind == "share":
        counts = [(sum(group.numbers(figure).values()), len(group.runs)) for group in (a, b)]
        return _of_shares(*counts, sign=_sign(figure))
    if a.ended_before(figure) or b.ended_before(figure):
        counts = [
            (len(group.numbers(figure)) - group.ended_before(figure), len(group.numbers(figure)))
            for group in (a, b)
        ]
        # Whether this is the test depends on what came out: it counts in any case.
        return replace(_of_shares(*counts, sign=1), least_p=0.0)
    return _of_means(figure, a.numbers(figure), b.numbers(figure))


def _sign(figure: str) -> int:
    """1 where more is better, else -1."""
    return 1 if COMPARED[figure].figure.better == "higher" else -1


def _of_means(figure: str, a: dict[int, float], b: dict[int, float]) -> Test | str:
    difference = seed_difference(a, b)
    if difference is None:
        return SAME
    write, unit = COMPARED[figure].figure.write, ""
    if write is percent:
        write, unit = (lambda share: f"{100 * share:.1f}"), " percentage points"
    seeds = len(a.keys() & b.keys()) if difference.paired else min(len(a), len(b))
    text = f"with {seeds} seeds a difference below {{}}{unit} would not be seen"
    return Test(
        difference.p,
        lambda level: Least(text, difference.least_seen(level), write),
        _sign(figure) * difference.mean,
        _common_seeds(figure, a, b, difference),
    )


def _common_seeds(figure: str, a: dict[int, float], b: dict[int, float], difference: SeedDifference) -> str:
    """The means of what was tested, where that is not all seeds of both."""
    if not difference.paired or a.keys() == b.keys():
        return ""
    write, seeds = COMPARED[figure].figure.write, sorted(a.keys() & b.keys())
    means = sorted(
        (fmean(side[seed] for seed in seeds) for side in (a, b)),
        reverse=_sign(figure) > 0,
    )
    return f"over the {len(seeds)} seeds of both {write(means[0])} against {write(means[1])}"


def _of_spreads(a: list[float], b: list[float]) -> Test | str:
    """The F-test of two variances of logarithms, which are taken to be normal."""
    from scipy.stats import f

    degrees = len(a) - 1, len(b) - 1
    variances = variance(numpy.log(a)), variance(numpy.log(b))
    if min(variances) == 0:
        return "the runs of one of them do not differ"
    ratio = f(*degrees)
    p = 2 * min(ratio.cdf(variances[0] / variances[1]), ratio.sf(variances[0] / variances[1]))
    text = f"with {min(degrees) + 1} seeds a spread less than {{}} times as large would not be seen"

    def least(level: float) -> Least:
        factor = float(numpy.sqrt(f.ppf(1 - level / 2, *reversed(degrees))))
        return Least(text, factor, "{:,.1f}".format)

    return Test(min(float(p), 1.0), least, variances[1] - variances[0])


def _of_shares(a: tuple[float, int], b: tuple[float, int], *, sign: int) -> Test:
    """Fisher's exact test of (count, runs) of either side; `sign`: 1 where more is better, else -1."""
    from scipy.stats import fisher_exact

    def p_of(first: float, second: float) -> float:
        return float(fisher_exact([[first, a[1] - first], [second, b[1] - second]]).pvalue)

    def least(level: float) -> Least:
        enough = [count for count in range(1, b[1] + 1) if p_of(0, count) <= level]
        if enough:
            text = f"0 of {a[1]} against fewer than {{}} of {b[1]} runs would not be seen"
            return Least(text, enough[0], "{:.0f}".format)
        return Least(f"not even 0 of {a[1]} against {b[1]} of {b[1]} runs would be seen")

    lead = sign * (a[0] / a[1] - b[0] / b[1])
    return Test(p_of(a[0], b[0]), least, lead, least_p=p_of(0, b[1]))
