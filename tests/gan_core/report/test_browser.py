"""Every kind of page of the report in a real browser: wide and narrow, light, dark and printed, by mouse and
by keyboard. What a new kind of page brings comes in by itself, from the report's list of its pages."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.gan_core.report.browser import MARKS, SCHEMES, WIDTHS, Reader, reading
from tests.gan_core.report.example import DAMAGED, GONE, LONG

pytestmark = MARKS

# What colours and the width of the window change is looked at where it changes.
BY_AXE = ((1400, "light"), (1400, "dark"), (390, "light"))
BY_KEYBOARD = ((1400, "light"), (390, "light"))
WORN = tuple(f"experiments/{name}.html" for name in (DAMAGED, GONE, LONG))


@pytest.fixture(scope="module")
def reader(worn_report) -> Iterator[Reader]:
    """The report of a worn store before a browser."""
    with reading(worn_report) as found:
        yield found


def test_every_page_is_whole_at_every_width_in_light_and_dark(reader):
    problems = []
    for path in dict.fromkeys([*reader.examples(), *WORN]):
        with reader.open(path) as opened:
            for width, scheme in itertools.product(WIDTHS, SCHEMES):
                opened.resize(width, scheme)
                checks = {"axe": (width, scheme) in BY_AXE, "keyboard": (width, scheme) in BY_KEYBOARD}
                problems += [f"{path} at {width}, {scheme}: {text}" for text in opened.problems(**checks)]
    assert not problems, "\n".join(dict.fromkeys(problems))


def test_on_paper_nothing_is_cut(reader):
    cut = []
    for path in dict.fromkeys([*reader.examples(), *WORN]):
        with reader.open(path, PAPER) as opened:
            opened.page.emulate_media(media="print")
            opened.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
            cut += [f"{path}: {text}" for text in opened.page.evaluate(BEYOND_THE_EDGE)]
    assert not cut, "\n".join(cut)


def test_three_experiments_are_printed_on_at_most_six_sheets(reader):
    experiments = [path for path in reader.examples() if path.startswith("experiments/")]
    assert len(experiments) == 3
    sheets = {path: len(re.findall(rb"/Type\s*/Page\b", reader.pdf(path))) for path in experiments}
    assert min(sheets.values()) >= 1 and sum(sheets.values()) <= 6, sheets


# Between the margins of A4 that Chromium leaves, in pixels.
PAPER = 718
BEYOND_THE_EDGE = """() => {
  const edge = document.documentElement.clientWidth + 1;
  const shown = [...document.body.querySelectorAll('td, th, img, p, li, code, svg')].filter(
    (item) => item.checkVisibility() && item.getBoundingClientRect().right > edge);
  return shown.slice(0, 3).map((item) => `${item.tagName} ${item.textContent.trim().slice(0, 60)}`);
}"""

FAULTY = """<!doctype html><html lang="en"><title>Faulty</title><main><h1>Faulty</h1>
<div style="width: 2000px">wide</div>
<button style="outline: none">unseen</button>
<input>
<textarea aria-label="a trap" onkeydown="event.preventDefault()"></textarea>
<button>behind the trap</button>
<img src="https://example.org/picture.png" alt="a picture">
<script>console.warn("a warning"); nonsense();</script></main></html>"""


def test_a_faulty_page_is_called_so_for_each_of_its_faults(reader, tmp_path):
    (tmp_path / "faulty.html").write_text(FAULTY)
    with replace(reader, folder=tmp_path).open("faulty.html", 390) as opened:
        found = "\n".join(opened.problems())
    for fault in (
        "a warning",
        "nonsense",
        "example.org/picture.png",
        "wider than",
        "no visible focus",
        "not reached by Tab",
        "label",
    ):
        assert fault in found
    with replace(reader, folder=tmp_path).open("faulty.html", 2200) as opened:
        assert "wider than" not in "\n".join(opened.problems())
