"""Pictures of near-duplicates, for the eye to judge the threshold by."""

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LABEL, GAP, SIDE = 20, 4, 48  # pixels: a line of text, between images, of an image
FONT_SIZE = 14  # at its default of 10 a space cannot be seen
GROUPS, MEMBERS = 10, 12


def pairs_picture(rows: list[tuple[str, list[tuple[np.ndarray, np.ndarray]]]]) -> bytes:
    """A PNG with a line per distance, from the nearest pairs to those at the threshold: (title, pairs of
    uint8 (C, S, S))."""
    return _sheet([(title, [tile for pair in pairs for tile in (*pair, None)]) for title, pairs in rows])


def groups_picture(groups: list[tuple[str, list[np.ndarray]]]) -> bytes:
    """A PNG with a line per group: (title, some of its images uint8 (C, S, S), the one that stays first)."""
    return _sheet(groups)


def _sheet(rows: list[tuple[str, list[np.ndarray | None]]]) -> bytes:
    """Titled lines of images, with half a place left free for None."""
    places = [[0.5 if tile is None else 1.0 for tile in tiles] for _, tiles in rows]
    font = ImageFont.load_default(FONT_SIZE)
    titles = (math.ceil(font.getlength(title)) + GAP for title, _ in rows)
    width = max([240, *titles, *(math.ceil(sum(row) * (SIDE + GAP)) for row in places)])
    sheet = Image.new("RGB", (width + GAP, len(rows) * (SIDE + LABEL + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, tiles) in enumerate(rows):
        top, left = GAP + number * (SIDE + LABEL + GAP), float(GAP)
        draw.text((GAP, top), title, fill="black", font=font)
        for tile, place in zip(tiles, places[number], strict=True):
            if tile is not None:
                sheet.paste(_as_large(tile), (round(left), top + LABEL))
            left += place * (SIDE + GAP)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _as_large(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).convert("RGB")
    smooth = Image.Resampling.BICUBIC if image.width > SIDE else Image.Resampling.NEAREST
    return image.resize((SIDE, SIDE), smooth)
