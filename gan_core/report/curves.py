"""The curves of one training: its losses, how often D is right, gradient norms, in-training evaluations.

What a panel shows is in `PANELS`; a new curve is an entry there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

from gan_core.evaluation.figures import decimal
from gan_core.report.drawing import BLUE, GREEN, INK, ORANGE, new_figure, restrain
from gan_core.store import Manifest, Store

# More points than pixels only make the file larger.
MAX_POINTS = 300


@dataclass(frozen=True)
class Panel:
    """Lines over images seen: a column each of the table `source`, with colour and label.

    `finish` sets the scale of the y axis, or adds marks, given all rows of the table.
    """

    title: str
    source: str
    lines: Mapping[str, tuple[str, str]]
    unit: str
    finish: Callable[[Axes, pandas.DataFrame], None] = lambda axes, rows: None


def _percent(axes: Axes, rows: pandas.DataFrame) -> None:
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


def _mark_best(axes: Axes, rows: pandas.DataFrame) -> None:
    axes.set_ylim(bottom=0)
    if rows["fid"].isna().all():
        return
    best = rows.loc[rows["fid"].idxmin()]
    axes.plot(best["images_seen"], best["fid"], "o", color=GREEN, markersize=7, label="best")
    middle = rows["images_seen"].mean()
    low = best["fid"] < 0.2 * rows["fid"].max()  # below it stand the axis' own numbers
    axes.annotate(
        f"best {decimal(best['fid'])} at {best['images_seen']:,.0f}",
        (best["images_seen"], best["fid"]),
        (0, 8 if low else -14),
        textcoords="offset points",
        ha="right" if best["images_seen"] > middle else "left",
        color=GREEN,
        fontsize=8,
    )


def _beside_real(axes: Axes, rows: pandas.DataFrame) -> None:
    axes.axhline(1, color=GREEN, linestyle=(0, (4, 3)), linewidth=1.2, label="real images")
    axes.set_ylim(bottom=0)


PANELS = (
    Panel("Losses", "history", {"d_loss": (BLUE, "discriminator"), "g_loss": (ORANGE, "generator")}, "loss"),
    Panel(
        "How often D is right",
        "history",
        {"d_real_accuracy": (BLUE, "real"), "d_fake_accuracy": (ORANGE, "generated")},
        "judged right",
        _percent,
    ),
    Panel(
        "Gradient norms",
        "history",
        {"d_gradient_norm": (BLUE, "discriminator"), "g_gradient_norm": (ORANGE, "generator")},
        "norm, logarithmic",
        _logarithmic,
    ),
    Panel("In-training FID", "evaluations", {"fid": (BLUE, "in training")}, "FID, few samples", _mark_best),
    Panel(
        "Diversity of samples",
        "evaluations",
        {"diversity": (BLUE, "samples")},
        "of real images'",
        _beside_real,
    ),
)


def read_curves(store: Store, trained: Manifest) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The history and the evaluations of a training; empty where it has none."""

    def read(name: str) -> pandas.DataFrame:
        if name not in trained.files:
            return pandas.DataFrame()
        return pandas.read_parquet(store.local(trained, name))

    return read("history.parquet"), read("evaluations.parquet")


def panels_of(history: pandas.DataFrame, evaluations: pandas.DataFrame) -> list[Panel]:
    """The panels for which a training has rows; of an older training some columns are missing."""
    tables = {"history": history, "evaluations": evaluations}
    return [
        panel
        for panel in PANELS
        if len(tables[panel.source])
        and all(column in tables[panel.source] for column in ("images_seen", *panel.lines))
    ]


def panel_figure(
    panel: Panel,
    history: pandas.DataFrame,
    evaluations: pandas.DataFrame,
    *,
    width: int = 480,
    height: int = 240,
) -> Figure:
    """One panel as a figure of its own, `width` x `height` pixels."""
    figure = new_figure(width, height)
    _draw(panel, history if panel.source == "history" else evaluations, figure.add_subplot())
    return figure


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
    table = table[["images_seen", *panel.lines]]
    rows = _thin(table)
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
    panel.finish(axes, table)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8, labelcolor=INK
        )


def _thin(table: pandas.DataFrame) -> pandas.DataFrame:
    """Means over equal runs of rows, so that at most `MAX_POINTS` remain."""
    rows = table.astype("float64").reset_index(drop=True)
    if len(rows) <= MAX_POINTS:
        return rows
    run = numpy.arange(len(rows)) * MAX_POINTS // len(rows)
    return rows.groupby(run).mean()
