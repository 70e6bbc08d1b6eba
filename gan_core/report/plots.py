"""Loss curves and the FID comparison, as PNG for Dagster's UI and as SVG for the report.

Drawn with matplotlib's object interface: no pyplot, so no figures stay behind. The same data gives the same
bytes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL import Image

# Mid-tones that can be read on white and on near-black: at least 3:1 against both.
INK = "#7d838c"
LOSS_COLOURS = {"d_loss": "#3f7fd0", "g_loss": "#d9772b"}
LOSS_NAMES = {"d_loss": "discriminator", "g_loss": "generator"}
BAR, BEST_BAR, FLOOR = "#8fa3b8", "#3f7fd0", "#2f9e6e"
# More points than pixels only make the file larger.
MAX_POINTS = 300


@dataclass(frozen=True)
class FidBar:
    """One experiment of the comparison: its FID and that of its untrained generator, where known."""

    experiment: str
    fid: float
    untrained: float | None = None


def loss_curves_png(history: pandas.DataFrame, *, width: int = 640, height: int = 280) -> bytes:
    """The losses over images seen as a PNG of `width` x `height` pixels with a transparent background.

    `history` has the columns images_seen, d_loss and g_loss, a row a time of logging; it may be empty.
    """
    return _png(_loss_figure(history, width, height))


def loss_curves_svg(history: pandas.DataFrame, *, width: int = 640, height: int = 260) -> bytes:
    """Like `loss_curves_png`, as an SVG whose text follows the reader's light or dark scheme."""
    return _svg(_loss_figure(history, width, height))


def fid_comparison_svg(bars: Sequence[FidBar], floor: float | None, *, width: int = 760) -> bytes:
    """Horizontal bars, one an experiment in the order given, as an SVG.

    A dashed line marks `floor` (real against real) and a tick each untrained generator; where that would
    squeeze the bars, it is written at the edge instead. All values are of one protocol.
    """
    figure = _figure(width, 62 + 34 * len(bars))
    axes = figure.add_subplot()
    limit = _fid_limit(bars, floor)
    best = min(bar.fid for bar in bars)
    for position, bar in enumerate(bars):
        colour = BEST_BAR if bar.fid == best and len(bars) > 1 else BAR
        axes.barh(position, bar.fid, height=0.56, color=colour)
        _annotate(axes, bar, position, limit)
    if floor is not None:
        axes.axvline(floor, color=FLOOR, linestyle=(0, (4, 3)), linewidth=1.2, zorder=3)
        axes.annotate(
            f"real against real {floor:,.2f}",
            (floor, 1),
            (4, 4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=FLOOR,
            fontsize=8,
        )
    axes.set_yticks(range(len(bars)), [bar.experiment for bar in bars])
    axes.set_ylim(len(bars) - 0.45, -0.55)
    axes.set_xlim(0, limit)
    axes.set_xlabel("FID (lower is better)")
    _restrain(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    return _svg(figure)


# --- inside -----------------------------------------------------------------------------------------------


def _loss_figure(history: pandas.DataFrame, width: int, height: int) -> Figure:
    figure = _figure(width, height)
    axes = figure.add_subplot()
    history = _thin(history)
    for column, colour in LOSS_COLOURS.items():
        axes.plot(
            history["images_seen"], history[column], color=colour, linewidth=1.4, label=LOSS_NAMES[column]
        )
    if len(history) == 0:
        axes.text(0.5, 0.5, "no losses yet", ha="center", transform=axes.transAxes, color=INK, fontsize=9)
    axes.set_xlabel("images seen")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    _restrain(axes, grid="y")
    return figure


def _thin(history: pandas.DataFrame) -> pandas.DataFrame:
    """Means over equal runs of rows, so that at most `MAX_POINTS` remain."""
    columns = history[["images_seen", *LOSS_COLOURS]].astype("float64")
    if len(columns) <= MAX_POINTS:
        return columns
    run = numpy.arange(len(columns)) * MAX_POINTS // len(columns)
    return columns.groupby(run).mean()


def _fid_limit(bars: Sequence[FidBar], floor: float | None) -> float:
    """The axis' end: with the untrained values where those are within three times the worst FID."""
    worst = max([bar.fid for bar in bars] + [floor or 0.0])
    untrained = max((bar.untrained or 0.0 for bar in bars), default=0.0)
    return max(untrained * 1.18, worst * 1.35, 1e-9) if untrained <= 3 * worst else worst * 1.5


def _annotate(axes: Axes, bar: FidBar, position: int, limit: float) -> None:
    """The bar's value, and the untrained generator's: a tick in scale, or text at the edge beyond it."""
    value = f"{bar.fid:,.2f}"
    if bar.untrained is None:
        _label(axes, bar.fid, position, value, limit)
        return
    untrained = (
        f"untrained {bar.untrained:,.0f}" if bar.untrained >= 10 else f"untrained {bar.untrained:,.2f}"
    )
    if bar.untrained > limit:
        _label(axes, bar.fid, position, value, limit)
        axes.text(limit, position, f"{untrained} ▸", ha="right", va="center", color=INK, fontsize=8)
        return
    axes.plot([bar.untrained] * 2, [position - 0.28, position + 0.28], color=INK, linewidth=2)
    if abs(bar.untrained - bar.fid) < 0.12 * limit:  # two labels would overlap
        _label(axes, max(bar.fid, bar.untrained), position, f"{value}, {untrained}", limit)
        return
    _label(axes, bar.fid, position, value, limit)
    _label(axes, bar.untrained, position, untrained, limit)


def _label(axes: Axes, x: float, y: float, text: str, limit: float) -> None:
    axes.text(x + limit * 0.008, y, text, ha="left", va="center", color=INK, fontsize=8)


def _figure(width: int, height: int) -> Figure:
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def _restrain(axes: Axes, grid: str) -> None:
    """Only what helps reading: faint grid lines on one axis, no box, all text in `INK`."""
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=INK, alpha=0.25, linewidth=0.7)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=8)
    (axes.xaxis if grid == "x" else axes.yaxis).set_major_locator(MaxNLocator(5))


def _png(figure: Figure) -> bytes:
    """The figure as a PNG of 64 colours: a quarter of the size, for pictures that a database keeps."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    output = io.BytesIO()
    picture = Image.fromarray(numpy.asarray(canvas.buffer_rgba()))
    picture.quantize(64, method=Image.Quantize.FASTOCTREE).save(output, "PNG", optimize=True)
    return output.getvalue()


SVG_STYLE = (
    "<style>svg{color:#5b616a;"
    "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif}"
    "@media (prefers-color-scheme:dark){svg{color:#a4abb5}}text{font-family:inherit!important}</style>"
)


def _svg(figure: Figure) -> bytes:
    """The figure as SVG: real text, ids from its content, `INK` replaced by the scheme's text colour."""
    output = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gan_core"}):
        figure.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
    text = output.getvalue().decode().replace(INK, "currentColor")
    opening = text.index(">", text.index("<svg")) + 1
    return (text[:opening] + SVG_STYLE + text[opening:]).encode()
