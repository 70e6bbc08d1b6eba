"""The figures of a group of experiments, by the question that they answer, a column for each seed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """A figure of the head of a page: its value with its interval and of how many seeds it is, where not of
    all, and (seed, value) of each of several."""

    heading: str
    explanation: str
    value: str
    interval: str
    seeds: list[tuple[str, str]]


def by_protocol(evaluations: Mapping[str, Manifest]) -> list[dict[str, Manifest]]:
    """The evaluations by seed, those apart that measured a figure by different protocols: their figures have
    no mean."""
    found: list[tuple[dict[tuple[str, str], str], dict[str, Manifest]]] = []
    for seed, evaluation in evaluations.items():
        own = _every_protocol(evaluation)
        alike = (group for group in found if all(group[0].get(key, own[key]) == own[key] for key in own))
        known, members = next(alike, ({}, {}))
        if not members:
            found.append((known, members))
        known |= own
        members[seed] = evaluation
    return [members for _, members in found]


def measured(evaluations: Sequence[Manifest], seeds: int = 1) -> list[Measured]:
    """The leaderboard's extractor with all its figures, then any others with those that they have. They are
    of one protocol, and of some of so many `seeds`."""
    for evaluation in evaluations:
        for name in evaluation.figures:
            figure_of(evaluation, name)
    if not evaluations:
        return []
    extractors = [dict(evaluation.details.get("extractors", {})) for evaluation in evaluations]
    others = list(dict.fromkeys(name for found in extractors for name in list(found)[1:]))
    own = [evaluation.figures for evaluation in evaluations]
    found = [Measured(None, _answers(own, seeds, empty=True), _protocol_rows(_protocols(evaluations[0])))]
    for name in others:
        values = [of.get(name, {}) for of in extractors]
        protocols = next(of for of in values if of)
        protocols = protocols.get("protocols") or {RANKED_BY: protocols.get("protocol", MISSING)}
        found.append(Measured(name, _answers(values, seeds, empty=False), _protocol_rows(protocols)))
    return found


def key_figures(evaluations: Mapping[str, Manifest], seeds: int = 1) -> list[KeyFigure]:
    """To each question the first figure that was measured and that tables show; `evaluations` by seed, of one
    protocol, and of some of so many `seeds`."""
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
            found.append(_key_figure(name, figures, seeds))
    return found


# --- inside -----------------------------------------------------------------------------------------------


def _key_figure(name: str, figures: Mapping[str, Figures], seeds: int) -> KeyFigure:
    text, _, interval = _over_seeds(name, list(figures.values())).partition(" [")
    each = [(seed, write_figure(name, of)) for seed, of in figures.items()] if len(figures) > 1 else []
    behind = [f"[{interval}"] if interval else []
    if fewer := _of_fewer(name, figures.values(), seeds):
        behind.append(fewer)
    return KeyFigure(FIGURES[name].heading, FIGURES[name].explanation, text, " ".join(behind), each)


def _of_fewer(name: str, figures: Iterable[Figures], seeds: int) -> str:
    """`(2 of 3 seeds)`, which a mean of fewer than all has to say of itself."""
    there = len(_values(name, figures))
    return f"({there} of {seeds} seeds)" if 0 < there < seeds else ""


def _answers(figures: list[Figures], seeds: int, *, empty: bool) -> list[Answer]:
    """`empty`: a figure that was looked for and not found has a row too."""
    rows: dict[str, list[Row]] = {question: [] for question in QUESTIONS}
    for name in _shown_figures(figures):
        if empty or _values(name, figures):
            rows[metric_of_figure(name).question].append(_row(name, figures, seeds))
    return [Answer(QUESTIONS[question], found) for question, found in rows.items() if found]


def _row(name: str, figures: list[Figures], seeds: int) -> Row:
    figure = FIGURES[name]
    each = [write_figure(name, of) for of in figures] if len(figures) > 1 else []
    mean = f"{_over_seeds(name, figures)} {_of_fewer(name, figures, seeds)}".rstrip()
    cells = [mean, *each]
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


def _every_protocol(evaluation: Manifest) -> dict[tuple[str, str], str]:
    """By (extractor, figure); that of the table by ("", "")."""
    found = {("", ""): evaluation.details["protocol"]}
    for extractor, values in evaluation.details.get("extractors", {}).items():
        protocols = values.get("protocols") or {RANKED_BY: values.get("protocol", MISSING)}
        found |= {(extractor, figure): protocol for figure, protocol in protocols.items()}
    return found


def _protocol_rows(protocols: Mapping[str, str]) -> list[tuple[str, str]]:
    """(protocol, labels of its figures), each protocol once, in the order of the figures."""
    labels: dict[str, list[str]] = {}
    for name in _metric_figures():
        if name in protocols and FIGURES[name].better is not None:
            labels.setdefault(protocols[name], []).append(FIGURES[name].label)
    return [(protocol, "; ".join(names)) for protocol, names in labels.items()]
