"""How pictures of figures are drawn: matplotlib without a box, as PNG for Dagster's UI and for answers.

Drawn with matplotlib's object interface: no pyplot, so no figures stay behind. The same data gives the same
bytes.
"""

import io

import numpy
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

# Mid-tones that can be read on white and on near-black: at least 3:1 against both.
INK = "#7d838c"
BLUE, ORANGE, GREEN = "#3f7fd0", "#d9772b", "#2f9e6e"


def new_figure(width: int, height: int) -> Figure:
    """A transparent figure of so many pixels."""
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def restrain(axes: Axes, grid: str) -> None:
    """Only what helps reading: faint grid lines on one axis, no box, all text in `INK`."""
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=INK, alpha=0.25, linewidth=0.7)
    axes.tick_params(which="both", colors=INK, labelsize=8, length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=8)
    (axes.xaxis if grid == "x" else axes.yaxis).set_major_locator(MaxNLocator(5))


def png(figure: Figure) -> bytes:
    """The figure as a PNG of 64 colours: a quarter of the size, for pictures that a database keeps."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    output = io.BytesIO()
    picture = Image.fromarray(numpy.asarray(canvas.buffer_rgba()))
    picture.quantize(64, method=Image.Quantize.FASTOCTREE).save(output, "PNG", optimize=True)
    return output.getvalue()
