import io
import xml.etree.ElementTree as ElementTree

import numpy
import pandas
import pytest
from PIL import Image

from gan_core.report.plots import FidBar, fid_comparison_svg, loss_curves_png, loss_curves_svg


def history(rows: int) -> pandas.DataFrame:
    images = numpy.arange(rows) * 640
    noise = numpy.random.default_rng(0).normal(size=(2, rows))
    return pandas.DataFrame({"images_seen": images, "d_loss": noise[0], "g_loss": noise[1] + 3})


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def contrast(colour, background) -> float:
    """WCAG 2 contrast ratio of two sRGB colours."""

    def luminance(rgb):
        channels = numpy.asarray(rgb[:3], dtype=float) / 255
        linear = numpy.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted([luminance(colour), luminance(background)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("rows", [0, 1, 2, 5000])
def test_loss_curves_are_small_pictures_of_the_size_asked_for(rows):
    content = loss_curves_png(history(rows), width=640, height=280)
    assert len(content) < 30_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (640, 280)
        assert image.convert("RGBA").getpixel((0, 0))[3] == 0


def test_both_curves_are_drawn_where_their_values_are():
    """D lies below G throughout, so every blue pixel of the plot lies below every orange one."""
    flat = pandas.DataFrame({"images_seen": [0, 1000], "d_loss": [1.0, 1.0], "g_loss": [3.0, 3.0]})
    image = numpy.asarray(Image.open(io.BytesIO(loss_curves_png(flat))).convert("RGBA")).astype(int)[40:]
    blue = (image[..., 2] - image[..., 0] > 80) & (image[..., 3] > 200)
    orange = (image[..., 0] - image[..., 2] > 80) & (image[..., 3] > 200)
    assert blue.any() and orange.any()
    assert numpy.nonzero(blue)[0].min() > numpy.nonzero(orange)[0].max()


def test_the_curves_can_be_read_on_white_and_on_black():
    image = numpy.asarray(Image.open(io.BytesIO(loss_curves_png(history(50)))).convert("RGBA"))
    solid = image[image[..., 3] == 255]
    colours, counts = numpy.unique(solid, axis=0, return_counts=True)
    common = colours[numpy.argsort(counts)[-2:]]
    for colour in common:
        assert contrast(colour, (255, 255, 255)) >= 3
        assert contrast(colour, (20, 22, 26)) >= 3


def test_losses_that_are_not_finite_are_left_out():
    broken = history(10)
    broken.loc[3:5, "d_loss"] = [numpy.nan, numpy.inf, -numpy.inf]
    assert loss_curves_png(broken).startswith(b"\x89PNG")
    assert b"nan" not in loss_curves_svg(broken).lower().replace(b"dominant", b"")


def test_drawings_are_the_same_bytes_twice():
    bars = [FidBar("a", 3.0, 100.0), FidBar("b", 4.0)]
    assert loss_curves_png(history(700)) == loss_curves_png(history(700))
    assert loss_curves_svg(history(700)) == loss_curves_svg(history(700))
    assert fid_comparison_svg(bars, 1.0) == fid_comparison_svg(bars, 1.0)


def test_a_long_history_makes_no_longer_svg():
    assert len(loss_curves_svg(history(50_000))) < 1.3 * len(loss_curves_svg(history(300)))


def test_the_comparison_names_every_experiment_floor_and_untrained_value():
    bars = [FidBar("first", 12.3, 301.0), FidBar("second", 18.9, 25.0), FidBar("third", 20.0)]
    found = texts(fid_comparison_svg(bars, 1.25))
    for text in (
        "first",
        "second",
        "third",
        "12.30",
        "18.90",
        "20.00",
        "real against real 1.25",
        "untrained 301 ▸",
    ):
        assert text in found
    assert any("untrained 25" in text for text in found)


def test_bars_are_as_long_as_their_values():
    """Widths are read from the drawing: 10, 20 and 40 stand as 1 : 2 : 4."""
    root = ElementTree.fromstring(
        fid_comparison_svg([FidBar("a", 10), FidBar("b", 20), FidBar("c", 40)], None)
    )
    spans = []
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        if "fill: #" in path.get("style", "") and path.get("clip-path"):
            numbers = [word for word in path.get("d").split() if word not in "MLz"]
            xs = [float(x) for x in numbers[::2]]
            spans.append(max(xs) - min(xs))
    assert numpy.allclose(numpy.array(spans) / spans[0], [1, 2, 4], rtol=1e-4)


def test_names_are_text_not_markup():
    found = texts(fid_comparison_svg([FidBar("<script>&", 1.0)], None))
    assert "<script>&" in found
