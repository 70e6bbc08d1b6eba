"""Pictures so small that they fit into a line of text: a row of images, and curves.

Each is a data URI of at most so many characters, an SVG, so that whoever shows it enlarges it.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from PIL import Image

from gan_core.spacing import evenly_chosen

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, CURVES_HEIGHT = 448, 120
NAMES_HEIGHT = 20  # above the curves
SMALLER_SIDES = (48, 32, 24, 16, 12)
QUALITIES = (80, 60, 40, 25, 10)
COLOURS = ("#1f77b4", "#d62728", "#2ca02c")
MOST_POINTS = 36  # of a curve


def images_at_a_glance(images: "Tensor", longest: int) -> str:
    """The first of these images (uint8 NCHW) in a row: as many, as large and as sharp as fit.

    Raises `ValueError` where not even the worst fits.
    """
    from gan_core.images import grid_array, picture

    side = images.shape[-1]
    for count, shown_side in ((8, side), (4, side), *((4, small) for small in SMALLER_SIDES if small < side)):
        drawn = picture(grid_array(images[:count], count)).convert("RGB")
        scale = shown_side / side
        drawn = drawn.resize((round(drawn.width * scale), round(drawn.height * scale)))
        for quality in QUALITIES:
            uri = _enlarging(drawn, quality)
            if len(uri) <= longest:
                return uri
    raise ValueError(f"no picture of images of {side} pixels has at most {longest} characters")


def curves_at_a_glance(series: Mapping[str, Sequence[float]], longest: int) -> str:
    """A few curves over the same moments, on one scale, each with its name and its last value.

    Raises `ValueError` where they do not fit.
    """
    values = [value for curve in series.values() for value in curve]
    low, high = min(values), max(values)
    lines = "".join(
        _curve(index, name, curve, low, high) for index, (name, curve) in enumerate(series.items())
    )
    uri = _uri(WIDTH, CURVES_HEIGHT, lines)
    if len(uri) > longest:
        raise ValueError(f"{len(series)} curves have {len(uri):,} characters, more than {longest:,}")
    return uri


# --- inside -----------------------------------------------------------------------------------------------


def _enlarging(drawn: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    drawn.save(buffer, "WEBP", quality=quality, method=6)
    height = round(WIDTH * drawn.height / drawn.width)
    inner = base64.b64encode(buffer.getvalue()).decode()
    picture_in_it = (
        f"<image width='{WIDTH}' height='{height}' image-rendering='pixelated' "
        f"href='data:image/webp;base64,{inner}'/>"
    )
    return _uri(WIDTH, height, picture_in_it)


def _curve(index: int, name: str, curve: Sequence[float], low: float, high: float) -> str:
    chosen = [curve[position] for position in evenly_chosen(len(curve), MOST_POINTS)]
    step, scale = WIDTH / max(len(chosen) - 1, 1), (CURVES_HEIGHT - 4 - NAMES_HEIGHT) / ((high - low) or 1)
    points = "L".join(
        f"{round(position * step)},{round(CURVES_HEIGHT - 4 - (value - low) * scale)}"
        for position, value in enumerate(chosen)
    )
    colour = COLOURS[index % len(COLOURS)]
    return (
        f"<path fill='none' stroke='{colour}' d='M{points}'/>"
        f"<text x='{4 + 170 * index}' y='14' font-size='13' fill='{colour}'>{name} {curve[-1]:.3g}</text>"
    )


def _uri(width: int, height: int, content: str) -> str:
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>{content}</svg>"
    return "data:image/svg+xml," + quote(svg, safe="/:;=,'+")
