"""Images as the project holds them (uint8, NCHW, 0..255), as networks see them, and as pictures."""

import io

import torch
from PIL import Image
from torch import Tensor

GAP = 2  # pixels between the images of a grid
BACKGROUND = 255


def to_network_range(images: Tensor, image_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """uint8 0..255 -> float32 in `image_range`, same shape."""
    low, high = image_range
    return images.float().div_(255 / (high - low)).add_(low)


def to_uint8(images: Tensor, image_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Float in `image_range` -> uint8 0..255, same shape; what lies outside is clamped."""
    low, high = image_range
    return ((images.float() - low) * (255 / (high - low))).round_().clamp_(0, 255).to(torch.uint8)


def grid_array(images: Tensor, columns: int) -> Tensor:
    """uint8 (N, C, H, W) laid out row by row with gaps -> uint8 (rows, width, C)."""
    count, channels, height, width = images.shape
    if count == 0 or columns < 1:
        raise ValueError(f"a grid needs at least 1 image and 1 column, not {count} and {columns}")
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = torch.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), BACKGROUND, dtype=torch.uint8
    )
    for index, image in enumerate(images.cpu()):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        grid[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return grid


def grid_png(images: Tensor, columns: int, scale: int = 1) -> bytes:
    """uint8 (N, C, H, W), C 1 or 3, as a PNG grid with `columns` images a row, each pixel `scale` wide."""
    return encode_picture(picture(grid_array(images, columns), scale))


def enlargement(side: int, least: int) -> int:
    """By how much an image of `side` pixels is enlarged to have `least` at least."""
    return max(1, -(-least // side))


def picture(array: Tensor, scale: int = 1) -> Image.Image:
    """uint8 (H, W, C), C 1 or 3, as a PIL image, each pixel `scale` wide."""
    drawn = Image.fromarray(array.squeeze(2).numpy() if array.shape[2] == 1 else array.numpy())
    return drawn.resize((drawn.width * scale, drawn.height * scale), Image.Resampling.NEAREST)


def encode_picture(drawn: Image.Image) -> bytes:
    """PNG bytes of a PIL image."""
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
