"""From encoded images of any format and colour mode to squares of uint8, and to PNG and back."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gan_core.limits import largest_image_pixels

# What is opened, by content and whatever the file is called. Pillow knows more formats, and hands one of them
# (EPS) to Ghostscript, which is a program: none is added here that starts one.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF")
# Bicubic with antialiasing when shrinking, which Parmar et al. 2022 (clean-fid) recommend; Pillow's, so that
# every machine gets the same bytes.
RESAMPLING = Image.Resampling.BICUBIC
# Without a bound, an image of 1 x 60,000 pixels would be enlarged to gigabytes before it is cropped.
LARGEST_RESIZED = 64 * 2**20
# Low levels are as small on images of this size, and faster.
PNG_LEVEL = 3
# The marker that ends a JPEG, and where it is looked for: some programs write on behind it.
JPEG_END, JPEG_TAIL = b"\xff\xd9", 1024
# Pixels of a large image that are laid over white together, so that this takes no further copies of it.
STRIP = 2**22

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # said by `open_image`


def open_image(content: bytes) -> Image.Image:
    """Decode an image file of one of `FORMATS` fully; raises whatever Pillow raises where it is damaged.

    One with more pixels than `GAN_MAX_IMAGE_MEGAPIXELS` allows is a `ValueError`, before it is decoded.
    """
    image = _opened(content)
    image.load()
    return image


@dataclass(frozen=True)
class Look:
    """What can be told of an image file without decoding it: its upright size, and 1 channel (grey), 2 (grey
    with transparency), 3 or 4 (colour, with transparency)."""

    width: int
    height: int
    channels: int


def look_at(content: bytes) -> Look:
    """Look at an image file as cheaply as its format allows; raises what Pillow raises where it is damaged.

    A PNG is checked by its checksums, a JPEG by its end; one that looks cut off, and any other format, is
    decoded.
    """
    image = _opened(content)
    # Of a PNG without an orientation Pillow would decode the pixels to look behind them.
    turned = (image.format != "PNG" or "exif" in image.info) and image.getexif().get(
        ExifTags.Base.Orientation, 1
    ) in (5, 6, 7, 8)
    width, height = image.size[::-1] if turned else image.size
    grey = image.mode in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
    channels = (1 if grey else 3) + image.has_transparency_data
    if image.format == "PNG":
        image.verify()
    elif image.format != "JPEG" or JPEG_END not in content[-JPEG_TAIL:]:
        image.load()
    return Look(width, height, channels)


def _opened(content: bytes) -> Image.Image:
    if not content:
        raise ValueError("the file is empty")
    limit = largest_image_pixels()
    allowed = f"GAN_MAX_IMAGE_MEGAPIXELS={limit / 1e6:g} allows"
    # Pillow has a limit of its own, for everything in this process: it may not be below ours.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, limit)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:  # Pillow's message holds an address in memory, new in every run
        raise UnidentifiedImageError("not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more pixels than {allowed}") from error
    if image.width * image.height > limit:
        raise ValueError(f"{image.width:,} x {image.height:,} pixels are more than {allowed}")
    return image


def to_square(image: Image.Image, size: int, channels: int, crop: str) -> np.ndarray:
    """The image upright, in 8 bits, as a square: uint8 (channels, size, size).

    `resize_then_crop`: the short side becomes `size` (bicubic, antialiased), then the centre is cut out.
    `crop_then_resize`: the centre square of the short side is cut out, then resized. Transparency is laid
    over white.
    """
    image = to_mode(upright(image), "L" if channels == 1 else "RGB")
    if crop == "resize_then_crop":
        image = _centre(_resize_short_side(image, size), size)
    else:
        image = _centre(image, min(image.size))
        image = _resize(image, (size, size))
    array = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation says that it is looked at: itself where nothing has to be turned."""
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(image) if turned else image


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image as 8-bit `L` or `RGB`; raises `ValueError` where its pixels have no defined range."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        sixteen = np.asarray(image).clip(0, 65535).astype(np.uint32)
        image = Image.fromarray(((sixteen + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no defined range: save the image with 8 or 16 bits")
    if image.has_transparency_data:
        image = _over_white(image)
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


def _over_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size)
    rows = max(1, STRIP // max(1, image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        flat.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return flat


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
