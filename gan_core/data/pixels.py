"""From encoded images of any format and colour mode to squares of uint8, and to PNG and back."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Bicubic with antialiasing when shrinking, which Parmar et al. 2022 (clean-fid) recommend; Pillow's, so that
# every machine gets the same bytes.
RESAMPLING = Image.Resampling.BICUBIC
# Without a bound, an image of 1 x 60,000 pixels would be enlarged to gigabytes before it is cropped.
LARGEST_RESIZED = 64 * 2**20
# Low levels are as small on images of this size, and faster.
PNG_LEVEL = 3


def open_image(content: bytes) -> Image.Image:
    """Decode an image file fully; raises whatever Pillow raises where it is damaged."""
    if not content:
        raise ValueError("the file is empty")
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:  # Pillow's message holds an address in memory, new in every run
        raise UnidentifiedImageError("not an image of a known format") from error
    image.load()
    return image


def to_square(image: Image.Image, size: int, channels: int, crop: str) -> np.ndarray:
    """The image upright, in 8 bits, as a square: uint8 (channels, size, size).

    `resize_then_crop`: the short side becomes `size` (bicubic, antialiased), then the centre is cut out.
    `crop_then_resize`: the centre square of the short side is cut out, then resized. Transparency is laid
    over white.
    """
    image = to_mode(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    if crop == "resize_then_crop":
        image = _centre(_resize_short_side(image, size), size)
    else:
        image = _centre(image, min(image.size))
        image = _resize(image, (size, size))
    array = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image as 8-bit `L` or `RGB`; raises `ValueError` where its pixels have no defined range."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        sixteen = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((sixteen + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no defined range: save the image with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def encode_png(array: np.ndarray) -> bytes:
    """uint8 (C, H, W) with 1 or 3 channels as PNG, with fixed settings."""
    image = Image.fromarray(array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def decode_png(content: bytes, shape: tuple[int, int, int] | None = None) -> np.ndarray:
    """uint8 (C, H, W) of an 8-bit grey or RGB PNG.

    Raises `ValueError` for other pixels and for another shape than `shape`, before the pixels are decoded,
    and whatever Pillow raises where the PNG is damaged.
    """
    image = Image.open(io.BytesIO(content), formats=("PNG",))
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"has pixels of the mode {image.mode}, not L or RGB")
    found = (len(image.getbands()), image.height, image.width)
    if shape is not None and found != tuple(shape):
        raise ValueError(f"has the shape {found} instead of {tuple(shape)}")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _resize_short_side(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    if width <= height:
        return _resize(image, (size, int(size * height / width)))
    return _resize(image, (int(size * width / height), size))


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if size[0] * size[1] > LARGEST_RESIZED:
        raise ValueError(f"{image.width}x{image.height} pixels are too narrow to be made square")
    return image if image.size == size else image.resize(size, RESAMPLING)


def _centre(image: Image.Image, size: int) -> Image.Image:
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))
