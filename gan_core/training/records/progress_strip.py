"""The picture of how samples changed: the fixed latents' images, one row per sampling time."""

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_core.images import BACKGROUND, GAP, encode_picture, enlargement, grid_array, picture
from gan_core.spacing import evenly_chosen

ROWS = 20
LABEL_WIDTH = 96
SMALLEST_IMAGE = 40  # pixels that an image takes at least, so that 16x16 can be seen


Moment = tuple[int, Tensor]
"""Images seen, and the fixed latents' images then: uint8 (n, C, H, W)."""


def strip_moments(samples: list[Moment], first_epoch: dict | None) -> list[Moment]:
    """The moments that are shown: the first, the last and at most 18 of those between, the end of the first
    epoch (as `TrainingState` keeps it) among them."""
    if first_epoch is None:
        return [samples[index] for index in evenly_chosen(len(samples), ROWS)]
    chosen = dict(samples[index] for index in evenly_chosen(len(samples), ROWS - 1))
    chosen.setdefault(first_epoch["images_seen"], first_epoch["samples"])
    return sorted(chosen.items(), key=lambda moment: moment[0])


def progress_png(moments: list[Moment]) -> bytes:
    """A PNG with a row of images for each moment, behind the number of images seen."""
    columns, side = len(moments[0][1]), moments[0][1].shape[-1]
    scale = enlargement(side, SMALLEST_IMAGE)
    strip = picture(grid_array(torch.cat([images for _, images in moments]), columns), scale)
    drawn = Image.new(strip.mode, (strip.width + LABEL_WIDTH, strip.height), BACKGROUND_OF[strip.mode])
    drawn.paste(strip, (LABEL_WIDTH, 0))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(size=14)
    for row, (images_seen, _) in enumerate(moments):
        middle = (row * (side + GAP) + side / 2) * scale
        pen.text((LABEL_WIDTH - 8, middle), f"{images_seen:,}", fill=0, font=font, anchor="rm")
    return encode_picture(drawn)


def describe_strip(moments: list[Moment]) -> dict:
    """What is where in `progress_png`: `images_seen` of each row, the number of `columns`, and in pixels
    `left` of the first one, the `side` of an image, and the `pitch` from one to the next, either way."""
    side = moments[0][1].shape[-1]
    scale = enlargement(side, SMALLEST_IMAGE)
    return {
        "images_seen": [images_seen for images_seen, _ in moments],
        "columns": len(moments[0][1]),
        "left": LABEL_WIDTH,
        "side": side * scale,
        "pitch": (side + GAP) * scale,
    }


BACKGROUND_OF = {"L": BACKGROUND, "RGB": (BACKGROUND,) * 3}
