"""Charts as data, and how the browser draws, tells and prints them."""

import itertools
import json
import math
import random
from dataclasses import replace

import pytest

from gan_core.report.charts import (
    Bar,
    Cell,
    Chart,
    HeatMap,
    Mark,
    Parallel,
    Rule,
    Series,
    Track,
    over_images_seen,
    positions,
    spans_decades,
    value_axis,
)
from gan_core.report.page import environment

NAN, INFINITY = float("nan"), float("inf")
SEEN = tuple(range(0, 60_000, 1_000))
LINES = Chart(
    "Losses",
    "Losses of two networks.",
    "images seen",
    "loss",
    series=(
        Series("discriminator", SEEN, tuple(1 + math.sin(x / 9_000) for x in SEEN)),
        Series("generator", SEEN, tuple(2 + math.cos(x / 9_000) for x in SEEN)),
        Series("seed 1", SEEN, tuple(2.1 + math.cos(x / 9_000) for x in SEEN), part_of="generator"),
    ),
    rules=(Rule(1.5, "real images"),),
    marks=(Mark(30_000, 1.5, "best 1.5 at 30,000"),),
)
SWEPT = Chart(
    "FID over latent size",
    "FID 44, 21 and 23.",
    "latent size",
    "FID",
    series=(
        Series(
            "batch 32", (8, 64, 512), (44, 21, 23), (40, 20, 21), (48, 22, 25), dots=True, interval="bars"
        ),
        Series(
            "batch 128",
            (8, 64, 512),
            (61, 30, None),
            (58, 29, None),
            (64, 31, None),
            dots=True,
            interval="bars",
        ),
    ),
    x_scale="log",
    x_ticks=(8, 64, 512),
)
WORDS = replace(
    SWEPT,
    title="FID over objective",
    x_label="objective",
    series=(
        Series("FID", ("non-saturating", "least squares", "hinge"), (9, 8, 7), dots=True, connected=False),
    ),
    x_scale="point",
    x_format="text",
    x_ticks=None,
)
BARS = Chart(
    "FID on digits",
    "Bars.",
    "FID",
    bars=(
        Bar("a-very-long-name-of-a-configuration-with-all-its-keys-64", 12.5, 11, 14, 310, best=True),
        Bar("short", 18.9, 17, 20, 310),
    ),
    rules=(Rule(1.3, "real against real"),),
    x_format="figure",
    tick_label="untrained",
)
HEAT = HeatMap(
    "FID over two keys",
    "A table of colours.",
    "latent size",
    "batch size",
    "FID",
    ("8", "64", "512"),
    ("32", "128"),
    (
        Cell("8", "32", 44, 40, 48),
        Cell("64", "32", 21.5, 20, 22, best=True),
        Cell("512", "32", 23),
        Cell("8", "128", 61),
        Cell("64", "128", 30.8),
        Cell("512", "128", missing="it was not trained"),
    ),
    better="lower",
)
PARALLEL = Parallel(
    "FID over three keys",
    "Lines through four axes.",
    (
        value_axis("latent size", (8, 64, 512), str),
        value_axis("batch size", (32, 128), str),
        value_axis("rate", (0.0001, 0.0002), "{:g}".format),
        value_axis("FID", (12.0, 60.0), str),
    ),
    (
        Track("first", (0, 0, 1, 0), ("8", "32", "0.0002", "12"), best=True),
        Track("second", (1, 1, 0, 1), ("512", "128", "0.0001", "60")),
    ),
)
ALL = (LINES, SWEPT, WORDS, BARS, HEAT, PARALLEL)


def test_what_is_no_number_is_no_value_and_the_data_are_json():
    values = (1.0, NAN, INFINITY, -INFINITY, None, 1 / 3)
    data = replace(LINES, series=(Series("a", range(6), values),)).data()
    assert data["series"][0]["y"] == [1.0, None, None, None, None, 0.33333]
    assert data["kind"] == "lines"
    for chart in ALL:
        assert json.loads(json.dumps(chart.data(), allow_nan=False)) == chart.data()


@pytest.mark.parametrize("seed", range(20))
def test_places_on_an_axis_keep_the_order_and_fill_it(seed):
    source = random.Random(seed)
    values = [source.choice((1, -1)) ** (seed % 2) * 10 ** source.uniform(-4, 4) for _ in range(9)]
    place = positions([*values, None, NAN])
    placed = [place(value) for value in sorted(values)]
    assert placed == sorted(placed)
    assert placed[0] == 0 and placed[-1] == 1
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(zip(placed, values, strict=True)))


def test_a_scale_is_logarithmic_only_where_all_is_positive_and_far_apart():
    assert spans_decades([1, 10]) and spans_decades([0.001, None, 5])
    for values in ([], [0, 100], [-1, 100], [1, 9.99], [None, NAN]):
        assert not spans_decades(values)
    assert positions([1, 10, 100])(10) == pytest.approx(0.5)
    assert positions([1, 2, 3])(2) == pytest.approx(0.5)
    assert positions([7, 7])(7) == positions([])(1) == 0.5


def test_an_axis_names_its_ends_and_its_middle():
    assert value_axis("size", (512, 8, None), str).ticks == (
        (0, "8"),
        (pytest.approx(0.5), "64.0"),
        (1, "512"),
    )
    assert value_axis("size", (3, 3), str).ticks == ((0.5, "3"),)
    assert value_axis("size", (None,), str).ticks == ()


def test_the_lowest_cell_is_the_palest_and_a_missing_one_has_no_colour():
    shades = [cell["shade"] for cell in HEAT.data()["cells"]]
    assert shades[1] == 0 and shades[3] == 1 and shades[5] is None
    assert all(0 < shade < 1 for shade in (shades[0], shades[2], shades[4]))


def test_lines_in_words_say_where_they_begin_and_end():
    lines = (Series("a", (1, 2, 3), (None, 2.0, 1.0)), Series("b", (1,), (NAN,)))
    assert over_images_seen(lines, "Loss") == "Loss over images seen: a from 2 to 1; b without a value."
    assert over_images_seen((), "Loss") == "Loss over images seen: nothing."


# --- in the browser ---------------------------------------------------------------------------------------

GALLERY = """{% extends "base.html" %}{% from "macros.html" import chart %}
{% block main %}{% for item in charts %}{{ chart(item) }}{% endfor %}{% endblock %}
{% block scripts %}{% include "charts.html" %}{% endblock %}"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A page with a chart of each kind, in a browser."""
    from gan_core.report.vendored import plot_script
    from tests.gan_core.report.browser import reading

    folder = tmp_path_factory.mktemp("gallery")
    text = (
        environment()
        .from_string(GALLERY)
        .render(
            title="Charts",
            navigation=(),
            path="charts.html",
            root="",
            missing="—",
            plot_script=plot_script,
            charts=ALL,
        )
    )
    (folder / "charts.html").write_text(text, encoding="utf-8")
    with reading(folder) as reader:
        yield reader


@pytest.mark.slow
@pytest.mark.browser
class TestInTheBrowser:
    @pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (800, "dark"), (390, "light")])
    def test_every_kind_is_drawn_within_its_place(self, gallery, width, scheme):
        gallery.look("charts.html", width, scheme)
        with gallery.open("charts.html", width, scheme) as opened:
            cut = opened.page.evaluate(CUT)
        assert not cut, f"cut at {width} pixels: {cut}"

    def test_the_arrow_keys_tell_every_point(self, gallery):
        with gallery.open("charts.html") as opened:
            told = []
            opened.page.locator(".drawing").nth(1).focus()
            for _ in range(5):
                opened.page.keyboard.press("ArrowRight")
                told.append(opened.page.locator(".tip:visible").inner_text())
            assert told[0] == "batch 32\nlatent size: 8\nFID: 44 [40, 48]"
            assert len(set(told)) == 5
            opened.page.keyboard.press("ArrowUp")
            assert opened.page.locator(".tip:visible").inner_text().startswith("batch 32\nlatent size: 64")
            opened.page.keyboard.press("Escape")
            assert not opened.page.locator(".tip:visible").count()

    def test_what_is_under_the_mouse_or_the_finger_is_told(self, gallery):
        for touch in (False, True):
            with gallery.open("charts.html", 800, touch=touch) as opened:
                cell = opened.page.locator(".drawing").nth(4)
                cell.scroll_into_view_if_needed()
                missing = cell.get_by_text("missing").bounding_box()
                middle = (missing["x"] + missing["width"] / 2, missing["y"] + missing["height"] / 2)
                (opened.page.touchscreen.tap if touch else opened.page.mouse.move)(*middle)
                assert "it was not trained" in opened.page.locator(".tip:visible").inner_text()

    def test_a_line_is_told_from_another_without_its_colour(self, gallery):
        with gallery.open("charts.html") as opened:
            strokes = opened.page.locator(".drawing").nth(1).locator("[aria-label=line]")
            dashes = [strokes.nth(i).get_attribute("stroke-dasharray") for i in range(strokes.count())]
        assert len(dashes) == len(set(dashes)) == 2

    def test_a_swept_value_has_its_name_on_a_logarithmic_axis(self, gallery):
        with gallery.open("charts.html", 390) as opened:
            names = opened.page.locator(".drawing").nth(1).locator("[aria-label='x-axis tick label'] text")
            places = [names.nth(i).bounding_box()["x"] for i in range(names.count())]
            assert names.all_text_contents() == ["8", "64", "512"]
        assert places[1] - places[0] == pytest.approx(places[2] - places[1], rel=0.1)

    def test_words_can_be_selected(self, gallery):
        with gallery.open("charts.html") as opened:
            opened.page.locator(".drawing text", has_text="non-saturating").select_text()
            assert opened.page.evaluate("() => String(getSelection())") == "non-saturating"

    def test_paper_has_a_width_of_its_own_and_light_colours(self, gallery):
        with gallery.open("charts.html", scheme="dark") as opened:
            opened.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
            widths = opened.page.evaluate(
                "() => [...document.querySelectorAll('.drawing svg')].map((svg) => svg.viewBox.baseVal.width)"
            )
            opened.page.emulate_media(media="print", color_scheme="dark")
            page = opened.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            opened.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
            again = opened.page.evaluate("() => document.querySelector('.drawing svg').viewBox.baseVal.width")
        assert max(widths) == 640 and again > 1000  # a heat map is no wider than it needs
        assert page == "rgb(255, 255, 255)"


# Words of a chart that lie outside of it.
CUT = """() => [...document.querySelectorAll('.drawing')].flatMap((place) => {
  const box = place.getBoundingClientRect();
  const texts = [...place.querySelectorAll('svg text')].filter((text) => !text.querySelector('tspan'));
  return texts.filter((text) => {
    const own = text.getBoundingClientRect();
    const beside = own.left < box.left - 1 || own.right > box.right + 1;
    return beside || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map((text) => `${place.getAttribute('aria-label').slice(0, 20)}: ${text.textContent}`);
})"""
