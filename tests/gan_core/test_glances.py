"""Pictures that fit into a line of text, whatever they show, and that a browser can read."""

import base64
import io
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from gan_core.glances import curves_at_a_glance, images_at_a_glance

SVG = "{http://www.w3.org/2000/svg}"


def svg(uri: str) -> ElementTree.Element:
    assert " " not in uri and ")" not in uri  # it stands in a Markdown link
    return ElementTree.fromstring(unquote(uri.removeprefix("data:image/svg+xml,")))


def picture_in(uri: str) -> Image.Image:
    inner = svg(uri).find(f"{SVG}image").get("href")
    return Image.open(io.BytesIO(base64.b64decode(inner.split("base64,")[1])))


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (32, 3), (64, 3), (256, 3)])
def test_images_of_every_size_fit_even_when_they_are_noise(side, channels):
    images = torch.randint(0, 256, (8, channels, side, side), generator=torch.Generator().manual_seed(0))
    uri = images_at_a_glance(images.to(torch.uint8), 950)
    assert len(uri) <= 950
    assert svg(uri).get("width") == "448"
    assert picture_in(uri).width >= 4 * 12


def test_a_row_shows_the_images_in_their_order():
    images = torch.stack([torch.full((1, 16, 16), 30 * n, dtype=torch.uint8) for n in range(8)])
    row = picture_in(images_at_a_glance(images, 950)).convert("L")
    assert row.size == (142, 16)
    levels = [row.getpixel((18 * n + 8, 8)) for n in range(8)]
    assert levels == pytest.approx([30 * n for n in range(8)], abs=8)


def test_a_picture_that_cannot_be_small_enough_is_refused():
    with pytest.raises(ValueError, match="has at most 100 characters"):
        images_at_a_glance(torch.zeros(8, 3, 64, 64, dtype=torch.uint8), 100)


def test_curves_run_from_left_to_right_on_one_scale():
    uri = curves_at_a_glance({"d_loss": [0.0, 1.0, 2.0], "g_loss": [4.0, 4.0, 4.0]}, 950)
    low, high = (path.get("d") for path in svg(uri).iter(f"{SVG}path"))
    assert low == "M0,116L224,92L448,68" and high == "M0,20L224,20L448,20"
    assert [text.text for text in svg(uri).iter(f"{SVG}text")] == ["d_loss 2", "g_loss 4"]


def test_long_curves_fit():
    long = [float(n % 97) for n in range(10_000)]
    assert len(curves_at_a_glance({"d_loss": long, "g_loss": long}, 950)) <= 950
    with pytest.raises(ValueError, match="3 curves have"):
        curves_at_a_glance(dict.fromkeys(("a", "b", "c"), long), 500)
