"""The pictures of an answer: every run as a point beside the interval of its configuration, and samples."""

import numpy
from matplotlib.axes import Axes
from PIL import Image

from gan_core.comparing.figures import COMPARED
from gan_core.comparing.groups import Group, Table
from gan_core.report.drawing import BLUE, INK, ORANGE, new_figure, png, restrain
from gan_core.store import Store

PANEL_WIDTH, ROW_HEIGHT, PANEL_REST = 420, 26, 64
PANELS_ACROSS = 2
SAMPLES_ACROSS, SAMPLES_SIZE = 4, 200


def figures_png(tables: list[Table], figures: tuple[str, ...]) -> bytes | None:
    """A panel for each table and figure: a line for each configuration, its interval, its
    runs as points. Runs that failed are crosses. None where there is nothing to draw."""
    # A spread is that of the points of another figure; a share has none.
    shown = [getattr(COMPARED[name], "source", name) for name in figures if COMPARED[name].kind != "share"]
    drawn = [name for name in dict.fromkeys(shown) if any(table.measured(name) for table in tables)]
    if not drawn:
        return None
    panels = [(table, name) for name in drawn for table in tables]
    across = len(tables) if len(tables) > 1 else min(len(panels), PANELS_ACROSS)
    down = -(-len(panels) // across)
    height = PANEL_REST + ROW_HEIGHT * max(len(table.groups) for table in tables)
    figure = new_figure(PANEL_WIDTH * across, height * down)
    for position, (table, name) in enumerate(panels, start=1):
        axes = figure.add_subplot(down, across, position)
        _draw(axes, table, name)
        if len(tables) > 1:
            axes.set_title(table.dataset, color=INK, fontsize=9, loc="left")
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
        for run in group.runs:
            value = values[run.seed]
            if value is None:
                continue
            marker = ">" if not value.reached else "x" if run.failed else "o"
            axes.plot(value.number, line, marker, color=ORANGE if run.failed else BLUE, markersize=6)
        if group.summary(name) is not None and not group.ended_before(name):
            axes.plot(group.summary(name), line, "|", color=INK, markersize=13, markeredgewidth=2)
    axes.set_yticks(range(len(table.groups)), [group.label for group in table.groups])
    axes.set_ylim(len(table.groups) - 0.5, -0.5)
    axes.set_xlabel(COMPARED[name].figure.heading)
    axes.margins(x=0.08)
    restrain(axes, grid="x")
    write = COMPARED[name].figure.write
    axes.xaxis.set_major_formatter(lambda value, _: write(value))


def _sheet(store: Store, group: Group) -> numpy.ndarray | None:
    """Its lowest seed's sheet of samples as uint8 (H, W) or (H, W, 3)."""
    samples = group.runs[0].samples
    if samples is None or "grid.png" not in samples.files:
        return None
    with Image.open(store.local(samples, "grid.png"), formats=("PNG",)) as image:
        return numpy.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
