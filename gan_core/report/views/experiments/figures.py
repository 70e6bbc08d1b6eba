"""The figures of a group of experiments, by the question that they answer, a column for each seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_core.evaluation.figures import FIGURES, MISSING, figure_of, is_missing, percent, write_figure
from gan_core.evaluation.metrics import METRICS, QUESTIONS, metric_of_figure
from gan_core.leaderboard.folding import RANKED_BY, interval_over_seeds
from gan_core.leaderboard.tables import with_interval
from gan_core.store import Manifest

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One figure: of one seed its text with the interval over other samples; of several the mean with the
    interval over seeds, then each. `main`: whether it is its metric's main figure."""

    heading: str
    explanation: str
    cells: list[str]
    main: bool


@dataclass(frozen=True)
class Answer:
    """What a reader wants to know, and the figures that say it."""

    question: str
    rows: list[Row]


@dataclass(frozen=True)
class Measured:
    """What one extractor found: the answers, and (protocol, labels of the figures under it). `extractor` is
    None of the leaderboard's."""

    extractor: str | None
    answers: list[Answer]
    protocols: list[tuple[str, str]]


@dataclass(frozen=True)
class KeyFigure:
    """A figure of the head of a page: its value and interval, and (seed, value) of each of several."""

    heading: str
    explanation: str
    value: str
    interval: str
    seeds: list[tuple[str, str]]


def measured(evaluations: Sequence[Manifest]) -> list[Measured]:
    """The leaderboard's extractor with all its figures, then any others with those that they have."""
    for evaluation in evaluations:
        for name in evaluation.figures:
            figure_of(evaluation, name)
    if not evaluations:
        return []
    extractors = [dict(evaluation.details.get("extractors", {})) for evaluation in evaluations]
    others = list(dict.fromkeys(name for found in extractors for name in list(found)[1:]))
    own = [evaluation.figures for evaluation in evaluations]
    found = [Measured(None, _answers(own, empty=True), _protocol_rows(_protocols(evaluations[0])))]
    for name in others:
        values = [of.get(name, {}) for of in extractors]
        protocols = next(of for of in values if of)
        protocols = protocols.get("protocols") or {RANKED_BY: protocols.get("protocol", MISSING)}
        found.append(Measured(name, _answers(values, empty=False), _protocol_rows(protocols)))
    return found


def key_figures(evaluations: Mapping[str, Manifest]) -> list[KeyFigure]:
    """To each question the first figure that was measured and that tables show; `evaluations` by seed."""
    figures = {seed: evaluation.figures for seed, evaluation in evaluations.items()}
    found = []
    for question in QUESTIONS:
        mains = (
            metric.main
            for metric in METRICS.values()
            if metric.question == question and metric.in_tables is not False
        )
        name = next((main for main in mains if _values(main, figures.values())), None)
        if name is not None:
            found.append(_key_figure(name, figures))
    return found


# --- inside -----------------------------------------------------------------------------------------------


def _key_figure(name: str, figures: Mapping[str, Figures]) -> KeyFigure:
    text, _, interval = _over_seeds(name, list(figures.values())).partition(" [")
    each = [(seed, write_figure(name, of)) for seed, of in figures.items()] if len(figures) > 1 else []
    return KeyFigure(
        FIGURES[name].heading, FIGURES[name].explanation, text, f"[{interval}" if interval else "", each
    )


def _answers(figures: list[Figures], *, empty: bool) -> list[Answer]:
    """`empty`: a figure that was looked for and not found has a row too."""
    rows: dict[str, list[Row]] = {question: [] for question in QUESTIONS}
    for name in _shown_figures(figures):
        if empty or _values(name, figures):
            rows[metric_of_figure(name).question].append(_row(name, figures))
    return [Answer(QUESTIONS[question], found) for question, found in rows.items() if found]


def _row(name: str, figures: list[Figures]) -> Row:
    figure = FIGURES[name]
    each = [write_figure(name, of) for of in figures] if len(figures) > 1 else []
    cells = [_over_seeds(name, figures), *each]
    return Row(figure.heading, figure.explanation, cells, name == metric_of_figure(name).main)


def _over_seeds(name: str, figures: Sequence[Figures]) -> str:
    """The text of a figure with its interval: over samples of one seed, over several seeds else."""
    if len(figures) == 1:
        return with_interval(name, figures[0])
    values = _values(name, figures)
    if not values:
        return MISSING
    write = FIGURES[name].write
    interval = interval_over_seeds(values, is_share=write is percent)
    mean = write(sum(values) / len(values))
    alike = interval is None or max(values) == min(values)
    return mean if alike else f"{mean} [{write(interval[0])}, {write(interval[1])}]"


def _values(name: str, figures) -> list[float]:
    return [float(of[name]) for of in figures if not is_missing(of.get(name))]


def _shown_figures(figures: list[Figures]) -> Iterator[str]:
    """Every figure that was to be measured; spread and interval stand behind theirs, and a variant that does
    not apply is left out."""
    behind = {FIGURES[name].spread for name in _metric_figures()}
    behind |= {end for metric in METRICS.values() for end in metric.bounds}
    for name in _metric_figures():
        looked_for = any(name in of for of in figures) and name not in behind
        is_variant = name not in metric_of_figure(name).figures
        if looked_for and not (is_variant and not _values(name, figures)):
            yield name


def _metric_figures() -> list[str]:
    return [figure for metric in METRICS.values() for figure in metric.all_figures]


def _protocols(evaluation: Manifest) -> Mapping[str, str]:
    first = next(iter(evaluation.details.get("extractors", {}).values()), {})
    return first.get("protocols") or {RANKED_BY: evaluation.details["protocol"]}


def _protocol_rows(protocols: Mapping[str, str]) -> list[tuple[str, str]]:
    """(protocol, labels of its figures), each protocol once, in the order of the figures."""
    labels: dict[str, list[str]] = {}
    for name in _metric_figures():
        if name in protocols and FIGURES[name].better is not None:
            labels.setdefault(protocols[name], []).append(FIGURES[name].label)
    return [(protocol, "; ".join(names)) for protocol, names in labels.items()]
