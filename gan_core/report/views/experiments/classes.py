"""Which classes are drawn, and which are taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from gan_core.evaluation.evidence import read_evidence
from gan_core.evaluation.figures import percent
from gan_core.report.charts import Bar, Chart
from gan_core.store import Manifest, Store

# A table of more classes than this cannot be read, and charts of more bars neither.
MOST_IN_TABLE = 20
MOST_BARS = 30
NAMED_CONFUSIONS = 12
# Stronger tints than this leave too little contrast to the text on them.
STRONGEST_TINT = 45


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of the table: its share of the row in words, and how strongly it is tinted, 0 to 100."""

    text: str
    tint: int
    right: bool


@dataclass(frozen=True)
class ConfusionView:
    """Asked for (rows) against recognised (columns), as shares of a row, over all `images` samples of
    `seeds` seeds.

    `rows` are empty for many classes; `worst` are the most frequent mistakes: (asked, recognised, share).
    """

    names: list[str]
    rows: list[tuple[str, list[ConfusionCell]]]
    worst: list[tuple[str, str, str]]
    images: int
    seeds: int


def confusion_view(store: Store, evaluations: Sequence[Manifest], names: list[str]) -> ConfusionView | None:
    """None where nothing was asked for, or nothing recorded; seeds are added up."""
    found = [read_evidence(store, evaluation, "accuracy").get("confusion") for evaluation in evaluations]
    found = [counts for counts in found if counts is not None]
    if not found:
        return None
    counts = numpy.sum(found, axis=0)
    names = names if len(names) == len(counts) else [str(number) for number in range(len(counts))]
    shares = counts / numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
    return ConfusionView(
        names,
        _rows(shares, names) if len(names) <= MOST_IN_TABLE else [],
        _worst(shares, names),
        int(counts.sum()),
        len(found),
    )


def shares_chart(store: Store, evaluations: Sequence[Manifest], names: list[str]) -> Chart | None:
    """How often each class is recognised among the samples, beside the real images; None where not known."""
    found = [read_evidence(store, evaluation, "class_shares") for evaluation in evaluations]
    found = [arrays for arrays in found if arrays]
    if not found:
        return None
    generated = numpy.mean([arrays["generated"] for arrays in found], axis=0)
    real = found[0]["real"]
    if len(real) > MOST_BARS:
        return None
    names = names if len(names) == len(real) else [str(number) for number in range(len(real))]
    bars = tuple(
        Bar(name, float(share), tick=float(of_real))
        for name, share, of_real in zip(names, generated, real, strict=True)
    )
    of_seeds = f", mean of {len(found)} seeds" if len(found) > 1 else ""
    least = min(bars, key=lambda bar: bar.value / bar.tick if bar.tick else 1.0)
    return Chart(
        f"Classes among the samples{of_seeds}",
        f"Bars of the share of each class among the samples{of_seeds}, as the classifier recognises them, "
        f"with that among real images; least often drawn, compared with real images: {least.label}, "
        f"{percent(least.value)} instead of {percent(least.tick)}.",
        "share of the samples",
        bars=bars,
        x_format="share",
        tick_label="real images",
    )


def _rows(shares: numpy.ndarray, names: list[str]) -> list[tuple[str, list[ConfusionCell]]]:
    return [
        (
            name,
            [
                ConfusionCell(
                    f"{100 * share:.0f}" if share >= 0.005 else "",
                    round(STRONGEST_TINT * float(share)),
                    row == column,
                )
                for column, share in enumerate(shares[row])
            ],
        )
        for row, name in enumerate(names)
    ]


def _worst(shares: numpy.ndarray, names: list[str]) -> list[tuple[str, str, str]]:
    mistakes = shares.copy()
    numpy.fill_diagonal(mistakes, 0)
    order = numpy.argsort(-mistakes, axis=None, kind="stable")[:NAMED_CONFUSIONS]
    places = (divmod(int(place), len(names)) for place in order)
    return [
        (names[asked], names[seen], percent(float(mistakes[asked, seen])))
        for asked, seen in places
        if mistakes[asked, seen] > 0
    ]
