"""Pictures of analyses: rows with captions, numbered grids, animations. Images are uint8 (n, C, H, W)."""

import io

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gan_core.images import BACKGROUND, GAP, encode_picture, enlargement, grid_array, picture

SMALLEST_IMAGE = 40  # pixels that an image takes at least, so that 16x16 can be seen
FONT_SIZE, LINE = 14, 20
LARGEST_IN_ANIMATION = 64
FRAME_MILLISECONDS = 90
COLOURS = 32  # of a frame; with all 256 the noise of the images makes the file three times as large


def scale_of(images: Tensor) -> int:
    """By how much images are enlarged."""
    return enlargement(images.shape[-1], SMALLEST_IMAGE)


def rows_png(rows: list[tuple[str, Tensor]], headings: list[str] | None = None) -> bytes:
    """One row of images with a caption before it for each (caption, images), as many images in each.

    `headings` stand above the columns.
    """
    columns, side = len(rows[0][1]), rows[0][1].shape[-1]
    scale = scale_of(rows[0][1])
    grid = picture(grid_array(torch.cat([images for _, images in rows]), columns), scale)
    left = 16 + max(_width(caption) for caption, _ in rows)
    above = LINE if headings else 0
    drawn = canvas(grid.mode, left + grid.width, above + grid.height)
    drawn.paste(grid, (left, above))
    step = (side + GAP) * scale
    for row, (caption, _) in enumerate(rows):
        write(drawn, (left - 8, above + row * step + side * scale // 2), caption, anchor="rm")
    for column, heading in enumerate(headings or []):
        write(drawn, (left + column * step + side * scale // 2, LINE // 2), heading, anchor="mm")
    return encode_picture(drawn)


def numbered_png(images: Tensor, columns: int) -> bytes:
    """A grid in which the number of each image, from 0, stands below it."""
    scale = scale_of(images)
    side = images.shape[-1] * scale
    rows = -(-len(images) // columns)
    mode = "L" if images.shape[1] == 1 else "RGB"
    drawn = canvas(mode, columns * (side + GAP), rows * (side + LINE))
    for number, image in enumerate(images):
        place = number % columns * (side + GAP), number // columns * (side + LINE)
        drawn.paste(picture(image.permute(1, 2, 0), scale), place)
        write(drawn, (place[0] + side // 2, place[1] + side + LINE // 2), str(number), anchor="mm")
    return encode_picture(drawn)


def animation_gif(frames: Tensor, columns: int) -> bytes:
    """uint8 (frames, n, C, H, W), a grid each, repeated for ever; images above 64 pixels are reduced to
    64."""
    count, side = frames.shape[0], min(frames.shape[-1], LARGEST_IN_ANIMATION)
    if side < frames.shape[-1]:
        frames = adaptive_avg_pool2d(frames.flatten(0, 1).float(), side).round().to(torch.uint8)
        frames = frames.unflatten(0, (count, -1))
    grids = [picture(grid_array(images, columns), scale_of(images)) for images in frames]
    drawn = [grid.quantize(COLOURS) for grid in grids]
    output = io.BytesIO()
    drawn[0].save(
        output,
        "GIF",
        save_all=True,
        append_images=drawn[1:],
        duration=FRAME_MILLISECONDS,
        loop=0,
        optimize=True,
    )
    return output.getvalue()


def canvas(mode: str, width: int, height: int) -> Image.Image:
    """An empty picture, `L` or `RGB`."""
    return Image.new(mode, (width, height), BACKGROUND if mode == "L" else (BACKGROUND,) * 3)


def write(drawn: Image.Image, place: tuple[int, int], text: str, anchor: str = "la") -> None:
    """Black text at a place; `anchor` is Pillow's."""
    fill = 0 if drawn.mode == "L" else (0, 0, 0)
    ImageDraw.Draw(drawn).text(place, text, fill=fill, font=ImageFont.load_default(FONT_SIZE), anchor=anchor)


def _width(text: str) -> int:
    return round(ImageFont.load_default(FONT_SIZE).getlength(text))
