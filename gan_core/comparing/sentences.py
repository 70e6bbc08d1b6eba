"""What was found, in words: who is best by each figure, what no test tells apart, how it scales."""

from collections.abc import Iterable
from statistics import fmean

import numpy

from gan_core.comparing.differences import SAME, Difference
from gan_core.comparing.figures import COMPARED
from gan_core.comparing.groups import DATASET, Group, Table, differing
from gan_core.evaluation.figures import MISSING, is_missing
from gan_core.evaluation.metrics import METRICS
from gan_core.evaluation.statistics.intervals import mean_interval

LOW_P = 0.001


def conclusions(tables: list[Table], found: list[Difference], figures: tuple[str, ...]) -> list[str]:
    """The answer, a paragraph for each table and figure; each begins with the dataset where there are several
    tables."""
    paragraphs = []
    for table in tables:
        if len(table.groups) < 2:  # it is of use beside the others
            continue
        where = f"On {table.dataset}: " if len(tables) > 1 else ""
        for figure in figures:
            pairs = [item for item in found if item.table is table and item.figure == figure]
            paragraphs.append(where + " ".join(_of_figure(table, figure, pairs)))
    return paragraphs + _scaling(tables, figures) + _of_seconds(figures)


def summary_text(group: Group, figure: str) -> str:
    """The figure of a configuration with its interval: `4.36 [4.12, 4.60]`."""
    value, write = group.summary(figure), COMPARED[figure].figure.write
    if value is None:
        return MISSING
    ended, runs = group.ended_before(figure), len(group.values(figure))
    if ended:
        reached = [item.number for item in group.values(figure).values() if item.reached]
        there = f", those {write(fmean(reached))}" if reached else ""
        return f"reached by {runs - ended} of {runs}{there}"
    interval = group.interval(figure)
    ends = f" [{write(interval[0])}, {write(interval[1])}]" if interval else ""
    return write(value) + ends


def differs_in(tables: list[Table]) -> str:
    """`batch_size`, or the keys in which the configurations differ, those of the data apart."""
    keys = dict.fromkeys(key for table in tables for key in differing(table.groups) if key != DATASET)
    return ", ".join(f"`{key}`" for key in keys) or "nothing but the seed and the data"


def beside(tables: list[Table], along: tuple[str, ...]) -> list[str]:
    """A sentence on each table whose configurations differ in more than the keys that the question names."""
    found = []
    for table in tables:
        others = [f"`{key}`" for key in differing(table.groups) if key not in (*along, DATASET)]
        if along and others:
            named = _listed([f"`{key}`" for key in along])
            found.append(
                f"The configurations{_on(table, tables)} are called by {named}, "
                f"but differ in {_listed(others)}, too, which may be what makes a difference."
            )
    return found


def apart(tables: list[Table]) -> list[str]:
    """A sentence on each dataset whose experiments were measured by several protocols."""
    datasets = [table.dataset for table in tables]
    return [
        f"The experiments on {dataset} were measured by {datasets.count(dataset)} protocols, and only those "
        "of one are compared: evaluate all of them again to compare them all."
        for dataset in dict.fromkeys(datasets)
        if datasets.count(dataset) > 1
    ]


def failures(tables: Iterable[Table]) -> list[str]:
    """A sentence on each configuration of which a run failed."""
    return [
        f"{len(group.failed)} of {len(group.runs)} runs of {group.label} on {table.dataset} failed: "
        f"{group.why_failed}."
        for table in tables
        for group in table.groups
        if group.failed
    ]


def _on(table: Table, tables: list[Table]) -> str:
    return f" on {table.dataset}" if len(tables) > 1 else ""


# --- inside -----------------------------------------------------------------------------------------------


def _of_figure(table: Table, figure: str, pairs: list[Difference]) -> list[str]:
    label = COMPARED[figure].figure.label
    measured = table.measured(figure)
    lacking = [group for group in table.groups if group not in measured]
    if len(measured) < 2:
        has = f"only {measured[0].label} has it" if measured else "no configuration has it"
        return [f"**{label}** compares nothing: {has}.{_how_to_measure(figure, table, lacking)}"]
    if pairs and all(item.why == SAME for item in pairs):
        values = "; ".join(f"{group.label} {_short(group, figure)}" for group in measured)
        return [f"**{label}**, which is the same in every run of a configuration: {values}."]
    told = _ahead(figure, measured, pairs) if COMPARED[figure].has_better_side else _apart(figure, pairs)
    texts = [*told, *_ties(pairs, alone=not told), *_untested(pairs), *_real(table, figure)]
    texts[0] = f"**{label}**: {texts[0]}"
    if lacking:
        names = _listed([group.label for group in lacking])
        texts.append(f"Not measured of {names}.{_how_to_measure(figure, table, lacking)}")
    return texts


def _how_to_measure(figure: str, table: Table, lacking: list[Group]) -> str:
    """What makes a figure that was not measured; nothing where it was tried and has no value."""
    if COMPARED[figure].needs_level:
        return " It needs in-training FIDs: see `evaluate_every`."
    name = next((name for name, metric in METRICS.items() if figure in metric.all_figures), None)
    if name is None or any(figure in run.evaluation.figures for group in lacking for run in group.runs):
        return ""
    if METRICS[name].by_default:
        where = f"`{name}` is among the `evaluation.metrics` of {table.dataset} unless its file names others"
    else:
        where = f"with `{name}` among the `evaluation.metrics` in the file of {table.dataset}"
    return f" To measure it, evaluate them again: {where}."


def _ahead(figure: str, measured: list[Group], pairs: list[Difference]) -> list[str]:
    """Who is not shown to be worse than any other, and who beats whom; nothing where nothing is shown."""
    beaten = [id(item.behind) for item in pairs if item.shown]
    best = [group for group in measured if id(group) not in beaten]
    if len(best) == len(measured):
        return []
    wins: dict[str, list[str]] = {}
    for item in pairs:
        if item.shown:
            facts = [_short(item.behind, figure), item.of_these, _p(item.p)]
            behind = f"{item.behind.label} ({'; '.join(filter(None, facts))})"
            wins.setdefault(item.ahead.label, []).append(behind)
    names = [f"{group.label} ({_short(group, figure)})" for group in best]
    if not best:  # other pairs have other seeds in common
        texts = ["each is beaten by another."]
    elif len(best) == 1 and best[0].label in wins:
        texts = [f"best is {names[0]}, which beats {_listed(wins.pop(best[0].label))}."]
    elif len(best) == 1:
        texts = [f"ahead is {names[0]}."]
    else:
        texts = [f"ahead are {_listed(names)}."]
    texts += [
        f"But {len(group.failed)} of {len(group.runs)} runs of {group.label} failed ({group.why_failed}): "
        "this figure does not make up for that."
        for group in best
        if 2 * len(group.failed) >= len(group.runs)
    ]
    return texts + [f"{label} beats {_listed(behind)}." for label, behind in wins.items()]


def _apart(figure: str, pairs: list[Difference]) -> list[str]:
    """Which configurations differ by a figure of which neither more nor less is better."""
    return [
        f"{item.ahead.label} ({_short(item.ahead, figure)}) and {item.behind.label} "
        f"({'; '.join(filter(None, [_short(item.behind, figure), item.of_these, _p(item.p)]))}) differ."
        for item in pairs
        if item.shown
    ]


def _real(table: Table, figure: str) -> list[str]:
    """Of a figure of which neither more nor less is better: what real images have."""
    if COMPARED[figure].has_better_side:
        return []
    name = f"{figure}_real"
    values = [run.entry.values.get(name) for group in table.groups for run in group.runs]
    values = [float(value) for value in values if not is_missing(value)]
    own = f": real images have {COMPARED[figure].figure.write(fmean(values))}" if values else ""
    return [f"Neither more nor less of it is better{own}."]


def _ties(pairs: list[Difference], *, alone: bool) -> list[str]:
    """What was tested and not shown, and what could not have been; `alone`: there is nothing before it."""
    ties = [item for item in pairs if item.p is not None and not item.shown]
    if not ties:
        return []
    names = [f"{item.ahead.label} and {item.behind.label}" for item in ties]
    every_pair = len(ties) == len(pairs) > 1
    between = "any two" if every_pair else _listed(names) if len(names) == 1 else "; ".join(names)
    beginning = "no" if alone else "No"
    least = min(item.p for item in ties)
    more = " or more" if len(ties) > 1 and least < 1 else ""
    return [f"{beginning} difference can be seen between {between} ({_p(least)}{more}): {_least(ties)}."]


def _least(ties: list[Difference]) -> str:
    """`with 3 seeds a difference below 17.3 to 56.5 percentage points would not be seen`."""
    by_text: dict[str, list[Difference]] = {}
    for item in ties:
        by_text.setdefault(item.least.text, []).append(item)
    parts = []
    for text, items in by_text.items():
        write, numbers = items[0].least.write, [item.least.number for item in items]
        low, high = write(min(numbers)), write(max(numbers))
        parts.append(text.format(low if low == high else f"{low} to {high}"))
    return "; ".join(parts)


def _untested(pairs: list[Difference]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for item in pairs:
        if item.why:
            reasons.setdefault(item.why, []).append(f"{item.ahead.label} and {item.behind.label}")
    return [
        f"Not tested ({why}): {'any two' if len(names) == len(pairs) > 1 else '; '.join(names)}."
        for why, names in reasons.items()
    ]


def _scaling(tables: list[Table], figures: tuple[str, ...]) -> list[str]:
    """Across datasets: the order by each figure, and how many times as large those are that have a unit.

    Figures of different protocols are not compared: their order is.
    """
    if len({table.dataset for table in tables}) < 2:
        return []
    texts = []
    for figure in figures:
        if not COMPARED[figure].has_better_side:
            continue
        if COMPARED[figure].across:
            texts += _ratios(tables, figure)
            continue
        orders = [
            f"on {table.dataset} {' < '.join(group.label for group in reversed(measured))}"
            for table in tables
            if len(measured := table.measured(figure)) > 1
        ]
        if len(orders) > 1:
            label = COMPARED[figure].figure.label
            texts.append(
                f"The order by the {label}, the worst first, whether shown or not: {'; '.join(orders)}. (The "
                "figures themselves have other protocols on each dataset, and are not compared.)"
            )
    return texts


def _of_seconds(figures: tuple[str, ...]) -> list[str]:
    """What seconds are those of."""
    if not any(COMPARED[figure].of_device for figure in figures):
        return []
    return [
        "Seconds are those of the machine as it was, with what else ran on it; CPU seconds are not recorded. "
        "A difference of them is no property of the configurations alone, and its p-value takes the load of "
        "the machine for chance: to compare them, train on a machine that does "
        "nothing else."
    ]


def _ratios(tables: list[Table], figure: str) -> list[str]:
    """How many times as much each configuration takes on another dataset, by the common seeds."""
    first, label, texts = tables[0], COMPARED[figure].figure.label, []
    for other in tables[1:]:
        if other.dataset == first.dataset:
            continue
        parts = []
        for group in first.groups:
            same = next((item for item in other.groups if item.beside_data == group.beside_data), None)
            part = same and _ratio(group, same, figure)
            parts += [f"{group.label} {part}"] if part else []
        if parts:
            texts.append(f"**{label}** on {other.dataset} over that on {first.dataset}: {', '.join(parts)}.")
    return texts


def _ratio(first: Group, other: Group, figure: str) -> str | None:
    """`2.4 [2.1, 2.7]` times, the geometric mean over the common seeds; None where a run did not reach it,
    or for seconds of different devices."""
    if first.ended_before(figure) or other.ended_before(figure):
        return None
    if COMPARED[figure].of_device and len({run.device for run in (*first.runs, *other.runs)}) > 1:
        return None
    a, b = first.numbers(figure), other.numbers(figure)
    logs = [numpy.log(b[seed] / a[seed]) for seed in a if seed in b and a[seed] > 0 and b[seed] > 0]
    if not logs:
        return None
    interval = mean_interval(logs)
    ends = f" [{numpy.exp(interval[0]):.2f}, {numpy.exp(interval[1]):.2f}]" if interval else ""
    return f"{numpy.exp(fmean(logs)):.2f}{ends} times"


def _short(group: Group, figure: str) -> str:
    """The figure of a configuration without its interval."""
    if group.ended_before(figure):
        return summary_text(group, figure)
    return COMPARED[figure].figure.write(group.summary(figure))


def _p(value: float) -> str:
    return f"p < {LOW_P}" if value < LOW_P else f"p = {value:.2g}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
