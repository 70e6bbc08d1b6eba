import ast
import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from torchvision.transforms import v2

import gan_core
from gan_core.data import pixels
from gan_core.data.pixels import decode_png, encode_png, open_image, to_mode, to_square
from gan_core.errors import ConfigError

RNG = np.random.default_rng(0)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(40, 30), (30, 41), (9, 9), (5, 23), (33, 32)])
def test_resize_then_crop_is_torchvisions(size):
    image = picture(*size)
    bicubic = v2.InterpolationMode.BICUBIC
    reference = v2.Compose([v2.Resize(16, interpolation=bicubic), v2.CenterCrop(16)])(image)
    expected = np.asarray(reference).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_square(image, 16, 3, "resize_then_crop"), expected)


@pytest.mark.parametrize("size", [(40, 30), (30, 41), (9, 9), (5, 23)])
def test_crop_then_resize_is_torchvisions(size):
    image = picture(*size)
    bicubic = v2.InterpolationMode.BICUBIC
    reference = v2.Compose([v2.CenterCrop(min(size)), v2.Resize(16, interpolation=bicubic)])(image)
    expected = np.asarray(reference).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_square(image, 16, 3, "crop_then_resize"), expected)


def test_the_order_of_crop_and_resize_matters():
    image = picture(40, 31)
    one, other = (to_square(image, 16, 3, crop) for crop in ("resize_then_crop", "crop_then_resize"))
    assert (one != other).any()


def test_an_image_of_the_right_size_is_unchanged():
    image = picture(16, 16)
    np.testing.assert_array_equal(
        to_square(image, 16, 3, "resize_then_crop"), np.asarray(image).transpose(2, 0, 1)
    )


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # without antialiasing every fourth column is the same colour
    small = to_square(Image.fromarray(stripes), 16, 1, "resize_then_crop")
    assert small.shape == (1, 16, 16)
    assert abs(small.astype(int) - 128).max() <= 12


def test_png_keeps_every_value():
    for channels in (1, 3):
        array = RNG.integers(0, 256, (channels, 7, 9), dtype=np.uint8)
        np.testing.assert_array_equal(decode_png(encode_png(array)), array)


def test_palette():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    square = to_square(open_image(saved(image, "PNG")), 8, 3, "resize_then_crop")
    assert square[:, 0, 0].tolist() == [10, 200, 30]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    opened = open_image(saved(image.convert(mode), "PNG"))
    assert opened.mode == mode
    square = to_square(opened, 8, 3, "resize_then_crop")
    assert square[:, 4, 0].tolist() == [0, 0, 0]
    assert square[:, 4, 7].tolist() == [255, 255, 255]


def test_half_transparent_black_is_grey():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 51))
    assert (to_square(image, 8, 3, "resize_then_crop") == 204).all()


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([0, 257, 32896, 65535], dtype=np.uint16).repeat(4).reshape(4, 4)
    opened = open_image(saved(Image.fromarray(values), "PNG"))
    square = to_square(opened, 4, 1, "resize_then_crop")
    assert square[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    square = to_square(open_image(saved(image, "TIFF")), 8, 3, "resize_then_crop")
    assert square[:, 0, 0].tolist() == [255, 0, 0]


def test_grey_becomes_three_equal_channels_and_colour_one():
    grey = Image.new("L", (8, 8), 77)
    assert to_square(grey, 8, 3, "resize_then_crop")[:, 3, 3].tolist() == [77, 77, 77]
    luma = to_square(Image.new("RGB", (8, 8), (255, 0, 0)), 8, 1, "resize_then_crop")
    assert luma[0, 0, 0] == 76  # ITU-R 601: 0.299 R


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (8, 8), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 8, 4))  # the stored top half is black
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to see it upright
    square = to_square(open_image(saved(image, "PNG", exif=exif)), 8, 3, "resize_then_crop")
    assert square[0, 0].tolist() == [255] * 4 + [0] * 4


def test_a_sliver_is_refused_instead_of_filling_the_memory():
    with pytest.raises(ValueError, match="too narrow"):
        to_square(Image.new("L", (1, 60_000)), 256, 1, "resize_then_crop")


def test_floating_point_is_refused():
    with pytest.raises(ValueError, match="8 or 16 bits"):
        to_square(Image.new("F", (8, 8)), 8, 1, "resize_then_crop")


def test_no_bytes_are_no_image():
    with pytest.raises(ValueError, match="empty"):
        open_image(b"")


# --- what is not decoded ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_large_transparent_images_are_laid_over_white_in_strips(mode, monkeypatch):
    image = Image.fromarray(RNG.integers(0, 256, (37, 23, 4), dtype=np.uint8)).convert(mode)
    if mode in ("P", "RGB"):
        colour = image.getpixel((0, 0))
        image = open_image(saved(image, "PNG", transparency=colour))
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    for strip in (1, 60, 2**22):
        monkeypatch.setattr(pixels, "STRIP", strip)
        np.testing.assert_array_equal(np.asarray(to_mode(image, "RGB")), expected)


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
0 0 10 10 rectfill
showpage
"""


def test_no_program_is_started_whatever_the_content(tmp_path, monkeypatch):
    mark = tmp_path / "started"
    for name in ("gs", "gswin64c", "djpeg"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    Image.init()
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    with contextlib.suppress(OSError):  # the trap works: Pillow by itself starts it
        Image.open(io.BytesIO(EPS)).load()
    assert mark.exists()
    mark.unlink()
    with pytest.raises(UnidentifiedImageError, match="not an image of a known format"):
        open_image(EPS)
    assert not mark.exists()


def test_only_formats_that_are_named_are_opened():
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF"):
        assert open_image(saved(picture(16, 16), kind)).size == (16, 16)
    for kind in ("ICO", "PCX", "SGI", "IM", "DDS"):
        with pytest.raises(UnidentifiedImageError):
            open_image(saved(picture(16, 16), kind))


def test_every_image_that_the_library_opens_is_of_named_formats():
    calls = 0
    for path in Path(gan_core.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Image.open":
                assert "formats" in {keyword.arg for keyword in call.keywords}, f"{path}:{call.lineno}"
                calls += 1
    assert calls >= 2


def header_of_png(width: int, height: int) -> bytes:
    """A PNG of so many RGBA pixels that has hardly any of them."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)), (b"IDAT", zlib.compress(b""))]
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("side", [9_000, 13_300, 60_000])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(side):
    def fail(image):
        raise AssertionError("it was decoded")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="MEGAPIXELS=64 allows"):
        patch.setattr("PIL.ImageFile.ImageFile.load", fail)
        open_image(header_of_png(side, side))


def test_how_many_pixels_are_too_many_is_a_setting(monkeypatch):
    content = saved(picture(100, 50), "PNG")
    monkeypatch.setenv("GAN_MAX_IMAGE_MEGAPIXELS", "0.004")
    with pytest.raises(ValueError, match="100 x 50 pixels are more than GAN_MAX_IMAGE_MEGAPIXELS=0.004"):
        open_image(content)
    monkeypatch.setenv("GAN_MAX_IMAGE_MEGAPIXELS", "0.005")
    assert open_image(content).size == (100, 50)
    monkeypatch.setenv("GAN_MAX_IMAGE_MEGAPIXELS", "many")
    with pytest.raises(ConfigError, match="GAN_MAX_IMAGE_MEGAPIXELS is `many`"):
        open_image(content)


def test_a_large_transparent_image_takes_few_copies_of_itself(tmp_path):
    """8 bytes per pixel for the image and what is laid over white, and not 20."""
    Image.new("RGBA", (6000, 6000), (1, 2, 3, 4)).save(tmp_path / "x.png", compress_level=1)
    script = (
        "import resource, sys; from gan_core.data.pixels import open_image, to_square, to_mode\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "content = open(sys.argv[1], 'rb').read(); before = peak()\n"
        "to_square(open_image(content), 64, 3, 'resize_then_crop'); print((peak() - before) / 36e6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "x.png")], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 12
