"""The comparison of experiments by their FID, for the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from gan_core.report.drawing import BLUE, GREEN, INK, new_figure, restrain, svg

BAR, BEST_BAR, FLOOR = "#8fa3b8", BLUE, GREEN


@dataclass(frozen=True)
class FidBar:
    """One row of the comparison: its FID, that of its untrained generator and the ends of the FID's interval,
    where known; `best`: no other row is shown to be better."""

    experiment: str
    fid: float
    untrained: float | None = None
    interval: tuple[float | None, float | None] = (None, None)
    best: bool = False


def fid_comparison_svg(bars: Sequence[FidBar], floor: float | None, *, width: int = 760) -> bytes:
    """Horizontal bars, one an experiment in the order given, as an SVG.

    Whiskers mark the intervals, a dashed line `floor` (real against real) and a tick each untrained
    generator; where that would squeeze the bars, it is written at the edge instead. All values are of one
    protocol.
    """
    figure = new_figure(width, 62 + 34 * len(bars))
    axes = figure.add_subplot()
    limit = _fid_limit(bars, floor)
    for position, bar in enumerate(bars):
        colour = BEST_BAR if bar.best and len(bars) > 1 else BAR
        axes.barh(position, bar.fid, height=0.56, color=colour)
        if None not in bar.interval:
            axes.plot(bar.interval, [position] * 2, color=INK, linewidth=1.2, marker="|", markersize=6)
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
    restrain(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    return svg(figure)


# --- inside -----------------------------------------------------------------------------------------------


def _end(bar: FidBar) -> float:
    """How far a bar with its whisker reaches."""
    return max(bar.fid, bar.interval[1] or 0.0)


def _fid_limit(bars: Sequence[FidBar], floor: float | None) -> float:
    """The axis' end: with the untrained values where those are within three times the worst FID."""
    worst = max([_end(bar) for bar in bars] + [floor or 0.0])
    untrained = max((bar.untrained or 0.0 for bar in bars), default=0.0)
    return max(untrained * 1.18, worst * 1.35, 1e-9) if untrained <= 3 * worst else worst * 1.5


def _annotate(axes: Axes, bar: FidBar, position: int, limit: float) -> None:
    """The bar's value, and the untrained generator's: a tick in scale, or text at the edge beyond it."""
    value = f"{bar.fid:,.2f}"
    if bar.untrained is None:
        _label(axes, _end(bar), position, value, limit)
        return
    untrained = (
        f"untrained {bar.untrained:,.0f}" if bar.untrained >= 10 else f"untrained {bar.untrained:,.2f}"
    )
    if bar.untrained > limit:
        _label(axes, _end(bar), position, value, limit)
        axes.text(limit, position, f"{untrained} ▸", ha="right", va="center", color=INK, fontsize=8)
        return
    axes.plot([bar.untrained] * 2, [position - 0.28, position + 0.28], color=INK, linewidth=2)
    if bar.untrained - _end(bar) < 0.12 * limit:  # two labels would overlap each other, or the bar
        _label(axes, max(_end(bar), bar.untrained), position, f"{value}, {untrained}", limit)
        return
    _label(axes, _end(bar), position, value, limit)
    _label(axes, bar.untrained, position, untrained, limit)


def _label(axes: Axes, x: float, y: float, text: str, limit: float) -> None:
    axes.text(x + limit * 0.008, y, text, ha="left", va="center", color=INK, fontsize=8)
