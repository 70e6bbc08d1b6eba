"""How large one image may be: what is larger is left out and named instead of filling the memory."""

import os

from gan_core.errors import ConfigError

# Decoding takes up to 20 bytes per pixel in every process that decodes, and no camera of today makes more.
MAX_IMAGE_MEGAPIXELS = 64
MAX_IMAGE_MB = 256


def largest_image_pixels() -> int:
    """Width times height that an image may have: `GAN_MAX_IMAGE_MEGAPIXELS` millions, else 64."""
    return int(_positive("GAN_MAX_IMAGE_MEGAPIXELS", MAX_IMAGE_MEGAPIXELS) * 10**6)


def largest_file_bytes() -> int:
    """Bytes that one image file may have, decompressed from its archive: `GAN_MAX_IMAGE_MB` MiB, else 256."""
    return int(_positive("GAN_MAX_IMAGE_MB", MAX_IMAGE_MB) * 2**20)


def _positive(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise ConfigError(f"{variable} is `{text}`: set it to a number above 0, or unset it for {default}")
    return number
