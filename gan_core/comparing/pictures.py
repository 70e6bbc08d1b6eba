"""The pictures of an answer: every run as a point beside the interval of its configuration, and samples."""

from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from PIL import Image

from gan_core.comparing.figures import COMPARED
from gan_core.comparing.groups import Group, Table
from gan_core.evaluation.figures import percent
from gan_core.evaluation.statistics.intervals import CONFIDENCE
from gan_core.report.drawing import BLUE, INK, ORANGE, new_figure, png, restrain
from gan_core.store import Store

PANEL_WIDTH, ROW_HEIGHT, PANEL_REST = 420, 26, 64
PANELS_ACROSS = 2
LEGEND = 26
# How far above and below the line of their configuration its runs stand, so that equal ones are all seen.
HEIGHT_OF_RUNS = 0.22
SAMPLES_ACROSS, SAMPLES_SIZE = 4, 200


def figures_png(tables: list[Table], figures: tuple[str, ...]) -> bytes | None:
    """A panel for each table and figure: a line for each configuration, its interval, its
    runs as points, the lowest seed on top. Runs that failed are crosses, those that ended before a level
    triangles, as the legend says. None where there is nothing to draw."""
    # A spread is that of the points of another figure; a share has none.
    shown = [getattr(COMPARED[name], "source", name) for name in figures if COMPARED[name].kind != "share"]
    drawn = [name for name in dict.fromkeys(shown) if any(table.measured(name) for table in tables)]
    if not drawn:
        return None
    panels = [(table, name) for name in drawn for table in tables]
    across = len(tables) if len(tables) > 1 else min(len(panels), PANELS_ACROSS)
    down = -(-len(panels) // across)
    height = PANEL_REST + ROW_HEIGHT * max(len(table.groups) for table in tables)
    figure = new_figure(PANEL_WIDTH * across, height * down + LEGEND)
    for position, (table, name) in enumerate(panels, start=1):
        axes = figure.add_subplot(down, across, position)
        _draw(axes, table, name)
        if len(tables) > 1:
            axes.set_title(table.dataset, color=INK, fontsize=9, loc="left")
    figure.legend(
        handles=_legend(panels),
        loc="outside lower center",
        ncols=5,
        fontsize=8,
        labelcolor=INK,
        frameon=False,
    )
    return png(figure)


def samples_png(store: Store, tables: list[Table]) -> bytes | None:
    """The sheets of samples of all configurations side by side, of the lowest seed of each; None without
    any."""
    shown = [
        (f"{group.label}, {table.dataset}" if len(tables) > 1 else group.label, sheet)
        for table in tables
        for group in table.groups
        if (sheet := _sheet(store, group)) is not None
    ]
    if not shown:
        return None
    across = min(len(shown), SAMPLES_ACROSS)
    down = -(-len(shown) // across)
    figure = new_figure(SAMPLES_SIZE * across, (SAMPLES_SIZE + 24) * down)
    for position, (title, sheet) in enumerate(shown, start=1):
        axes = figure.add_subplot(down, across, position)
        axes.imshow(sheet, interpolation="nearest", cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        axes.set_title(title, color=INK, fontsize=9)
    return png(figure)


# --- inside -----------------------------------------------------------------------------------------------


def _draw(axes: Axes, table: Table, name: str) -> None:
    for line, group in enumerate(table.groups):
        values = {run.seed: COMPARED[name].of(name, run) for run in group.runs}
        interval = group.interval(name)
        if interval:
            axes.plot(interval, [line, line], color=INK, linewidth=5, alpha=0.35, solid_capstyle="butt")
        heights = (
            numpy.linspace(-HEIGHT_OF_RUNS, HEIGHT_OF_RUNS, len(group.runs)) if group.runs[1:] else [0.0]
        )
        for run, height in zip(group.runs, heights, strict=True):
            value = values[run.seed]
            if value is not None:
                axes.plot(value.number, line + height, **_style(value.reached, run.failed))
        if group.summary(name) is not None and not group.ended_before(name):
            axes.plot(group.summary(name), line, "|", color=INK, markersize=13, markeredgewidth=2)
    axes.set_yticks(range(len(table.groups)), [group.label for group in table.groups])
    axes.set_ylim(len(table.groups) - 0.5, -0.5)
    axes.set_xlabel(COMPARED[name].figure.heading)
    axes.margins(x=0.08)
    restrain(axes, grid="x")
    _scale(axes, name, [number for group in table.groups for number in group.numbers(name).values()])


def _scale(axes: Axes, name: str, numbers: list[float]) -> None:
    """Ticks as the figure is written, with as many digits as tell them apart; nothing below 0 where no run is
    there, and all of a share where all runs have the same."""
    write = COMPARED[name].figure.write
    if write is percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        if numbers and min(numbers) == max(numbers):
            axes.set_xlim(-0.03, max(1.0, *numbers) + 0.03)
    else:
        axes.xaxis.set_major_formatter(lambda value, _: write(value))
    low, high = axes.get_xlim()
    if numbers and min(numbers) >= 0 > low:
        axes.set_xlim(-0.03 * high, high)  # room for the half of a point at 0


def _style(reached: bool, failed: bool) -> dict[str, Any]:
    """How a run is drawn."""
    marker = ">" if not reached else "x" if failed else "o"
    return {"marker": marker, "color": ORANGE if failed else BLUE, "markersize": 5, "linestyle": "none"}


def _legend(panels: list[tuple[Table, str]]) -> list[Line2D]:
    """A line for each mark that is drawn."""
    drawn = {
        (value.reached, run.failed)
        for table, name in panels
        for group in table.groups
        for run in group.runs
        if (value := COMPARED[name].of(name, run)) is not None
    }
    words = {
        (True, False): "a run",
        (True, True): "a run that failed",
        (False, False): "a run that ended before",
        (False, True): "a failed run that ended before",
    }
    handles = [Line2D([], [], label=text, **_style(*kind)) for kind, text in words.items() if kind in drawn]
    mean = {"marker": "|", "color": INK, "markersize": 11, "markeredgewidth": 2, "linestyle": "none"}
    interval = {"color": INK, "linewidth": 5, "alpha": 0.35, "solid_capstyle": "butt"}
    handles.append(Line2D([], [], label="mean", **mean))
    if any(group.interval(name) for table, name in panels for group in table.groups):
        handles.append(Line2D([], [], label=f"{CONFIDENCE:.0%} interval of the mean", **interval))
    return handles


def _sheet(store: Store, group: Group) -> numpy.ndarray | None:
    """Its lowest seed's sheet of samples as uint8 (H, W) or (H, W, 3)."""
    samples = group.runs[0].samples
    if samples is None or "grid.png" not in samples.files:
        return None
    with Image.open(store.local(samples, "grid.png"), formats=("PNG",)) as image:
        return numpy.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
