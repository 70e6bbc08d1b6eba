import xml.etree.ElementTree as ElementTree

import numpy

from gan_core.report.plots import FidBar, fid_comparison_svg


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_drawings_are_the_same_bytes_twice():
    bars = [FidBar("a", 3.0, 100.0), FidBar("b", 4.0)]
    assert fid_comparison_svg(bars, 1.0) == fid_comparison_svg(bars, 1.0)


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


def test_an_experiment_worse_than_untrained_has_both_values_behind_its_bar():
    bars = [FidBar("a", 12.0, 300.0), FidBar("collapsed", 56.9, 51.5)]
    assert "56.90, untrained 52" in texts(fid_comparison_svg(bars, None))


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
