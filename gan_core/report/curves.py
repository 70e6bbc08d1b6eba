"""The curves of one training: its losses, how often D is right, gradient norms, in-training evaluations.

What a panel shows is in `PANELS`; a new curve is an entry there.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

from gan_core.evaluation.figures import decimal
from gan_core.report.charts import Chart, Mark, Rule, Series, over_images_seen
from gan_core.report.drawing import BLUE, GREEN, INK, ORANGE, new_figure, restrain
from gan_core.store import Manifest, Store

# More points than pixels only make the file larger.
MAX_POINTS = 300


@dataclass(frozen=True)
class Panel:
    """Lines over images seen: a column each of the table `source`, with colour and label.

    `scale` is that of the y axis, a share being between 0 and 1; `best` marks the lowest value of a column,
    `real` is where real images are.
    """

    title: str
    source: str
    lines: Mapping[str, tuple[str, str]]
    unit: str
    scale: Literal["linear", "log", "share"] = "linear"
    from_zero: bool = False
    best: str | None = None
    real: float | None = None


def _percent(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _logarithmic(axes: Axes, rows: pandas.DataFrame) -> None:
    axes.set_yscale("log")
    values = rows.drop(columns="images_seen").to_numpy(dtype="float64")
    values = values[numpy.isfinite(values) & (values > 0)]
    decades = numpy.ptp(numpy.log10(values)) if len(values) else 0
    if decades < 2:  # too few powers of ten for labels
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mark_best(axes: Axes, rows: pandas.DataFrame, column: str) -> None:
    best = _best_row(rows, column)
    if best is None:
        return
    axes.plot(best["images_seen"], best[column], "o", color=GREEN, markersize=7, label="best")
    middle = rows["images_seen"].mean()
    low = best[column] < 0.2 * rows[column].max()  # below it stand the axis' own numbers
    axes.annotate(
        _best_in_words(best, column),
        (best["images_seen"], best[column]),
        (0, 8 if low else -14),
        textcoords="offset points",
        ha="right" if best["images_seen"] > middle else "left",
        color=GREEN,
        fontsize=8,
    )


def _best_row(rows: pandas.DataFrame, column: str) -> pandas.Series | None:
    return None if rows[column].isna().all() else rows.loc[rows[column].idxmin()]


def _best_in_words(best: pandas.Series, column: str) -> str:
    return f"best {decimal(best[column])} at {best['images_seen']:,.0f}"


def _finish(panel: Panel, axes: Axes, rows: pandas.DataFrame) -> None:
    """The scale of the y axis, and the marks."""
    if panel.scale == "share":
        _percent(axes)
    if panel.scale == "log":
        _logarithmic(axes, rows)
    if panel.best:
        _mark_best(axes, rows, panel.best)
    if panel.real is not None:
        axes.axhline(panel.real, color=GREEN, linestyle=(0, (4, 3)), linewidth=1.2, label="real images")
    if panel.from_zero:
        axes.set_ylim(bottom=0)


PANELS = (
    Panel("Losses", "history", {"d_loss": (BLUE, "discriminator"), "g_loss": (ORANGE, "generator")}, "loss"),
    Panel(
        "How often D is right",
        "history",
        {"d_real_accuracy": (BLUE, "real"), "d_fake_accuracy": (ORANGE, "generated")},
        "judged right",
        scale="share",
    ),
    Panel(
        "Gradient norms",
        "history",
        {"d_gradient_norm": (BLUE, "discriminator"), "g_gradient_norm": (ORANGE, "generator")},
        "norm, logarithmic",
        scale="log",
    ),
    Panel(
        "In-training FID",
        "evaluations",
        {"fid": (BLUE, "in training")},
        "FID, few samples",
        from_zero=True,
        best="fid",
    ),
    Panel(
        "In-training precision and recall",
        "evaluations",
        {"precision": (BLUE, "precision"), "recall": (ORANGE, "recall")},
        "share, few samples",
        scale="share",
    ),
    Panel(
        "Diversity of samples",
        "evaluations",
        {"diversity": (BLUE, "samples")},
        "of real images'",
        from_zero=True,
        real=1.0,
    ),
)


def read_curves(store: Store, trained: Manifest) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The history and the evaluations of a training; empty where it has none."""

    def read(name: str) -> pandas.DataFrame:
        if name not in trained.files:
            return pandas.DataFrame()
        return _table(store.local(trained, name), trained.files[name].sha256)

    return read("history.parquet"), read("evaluations.parquet")


@functools.lru_cache(maxsize=32)  # pages that show the same curves are made one after the other
def _table(path: Path, sha256: str) -> pandas.DataFrame:
    """`sha256`: what the file at `path` holds, so that another one is another table."""
    return pandas.read_parquet(path)


def panels_of(history: pandas.DataFrame, evaluations: pandas.DataFrame) -> list[Panel]:
    """The panels for which a training has rows; of an older training some columns are missing."""
    tables = {"history": history, "evaluations": evaluations}
    return [
        panel
        for panel in PANELS
        if len(tables[panel.source])
        and all(column in tables[panel.source] for column in ("images_seen", *panel.lines))
    ]


def panel_chart(
    panel: Panel, table: pandas.DataFrame, band: tuple[pandas.DataFrame, pandas.DataFrame] | None = None
) -> Chart:
    """One panel of one training, or of the mean of several with the `band` between their extremes."""
    columns = ["images_seen", *panel.lines]
    rows = _thin(table, columns)
    low, high = (_thin(bound, columns) for bound in band) if band else ({}, {})
    seen = rows["images_seen"].to_numpy().round().astype(int).tolist()
    dots = panel.source == "evaluations" or len(rows) == 1
    lines = tuple(
        Series(
            label,
            seen,
            _values(rows[column]),
            _values(low[column]) if band else None,
            _values(high[column]) if band else None,
            dots=dots,
        )
        for column, (_, label) in panel.lines.items()
    )
    best = _best_row(table, panel.best) if panel.best and not band else None
    return Chart(
        panel.title,
        over_images_seen(lines, panel.title),
        "images seen",
        panel.unit,
        series=lines,
        rules=() if panel.real is None else (Rule(panel.real, "real images"),),
        marks=()
        if best is None
        else (Mark(int(best["images_seen"]), float(best[panel.best]), _best_in_words(best, panel.best)),),
        y_format="share" if panel.scale == "share" else "figure",
        y_scale="log" if panel.scale == "log" else "linear",
        from_zero=panel.from_zero,
    )


def training_figure(
    history: pandas.DataFrame, evaluations: pandas.DataFrame, *, width: int = 960, height: int = 220
) -> Figure:
    """All panels for which there is data, two a row, each row `height` pixels high, with their titles.

    `history` and `evaluations` are tables of a training's artefact, or of its rows so far; either may be
    empty.
    """
    panels = panels_of(history, evaluations)
    rows = max(1, -(-len(panels) // 2))
    figure = new_figure(width, height * rows)
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, 2, position)
        _draw(panel, history if panel.source == "history" else evaluations, axes)
        axes.set_title(panel.title, color=INK, fontsize=9, loc="left")
    return figure


def _draw(panel: Panel, table: pandas.DataFrame, axes: Axes) -> None:
    columns = ["images_seen", *panel.lines]
    table = table[columns]
    rows = _thin(table, columns)
    marker = "o" if panel.source == "evaluations" or len(rows) == 1 else None
    for column, (colour, label) in panel.lines.items():
        axes.plot(
            rows["images_seen"],
            rows[column],
            color=colour,
            label=label,
            linewidth=1.4,
            marker=marker,
            markersize=3,
        )
    axes.set_xlabel("images seen")
    axes.set_ylabel(panel.unit)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    restrain(axes, grid="y")
    _finish(panel, axes, table)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8, labelcolor=INK
        )


def _thin(table: pandas.DataFrame, columns: list[str]) -> pandas.DataFrame:
    """Means over equal runs of rows, so that at most `MAX_POINTS` remain; of fewer rows all, as they are."""
    if len(table) <= MAX_POINTS:
        return table
    run = numpy.arange(len(table)) * MAX_POINTS // len(table)
    return table[columns].astype("float64").groupby(run).mean()


def _values(column: pandas.Series) -> list[float]:
    return column.to_numpy("float64", na_value=numpy.nan).tolist()
