"""The first page: its columns are those of the files, and it can be filtered, sorted and shared."""

import csv
import re

import pandas
import pytest
from bs4 import BeautifulSoup, Tag

from tests.gan_core.report.browser import MARKS


def in_a_browser(test):
    for mark in MARKS:
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def index(example_report):
    return BeautifulSoup((example_report / "index.html").read_text(encoding="utf-8"), "html.parser")


def keys_of(index) -> list[str]:
    return [heading["data-key"] for heading in index.select("table.sortable thead th")]


def cells_of(row: Tag) -> list[str]:
    return [cell.get_text(" ", strip=True) for cell in row.find_all(["td", "th"])]


def test_csv_and_parquet_have_every_column_that_the_page_shows(example_report, index):
    """And what stands in a row without a heading: note, staleness, members, intervals, real against real."""
    folder = example_report.parent / "leaderboard"
    with open(folder / "leaderboard.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = set(keys_of(index))
    assert {"rank", "experiment", "objective", "seeds", "verdict", "fid", "images_seen"} <= shown
    beside = {
        "note",
        "stale",
        "members",
        "protocol",
        "tags",
        "fid_low",
        "fid_high",
        "fid_floor",
        "recall_floor",
    }
    assert shown | beside <= set(rows[0]) == set(pandas.read_parquet(folder / "leaderboard.parquet").columns)
    seeds = set(pandas.read_parquet(folder / "leaderboard_seeds.parquet").columns)
    assert (shown | beside) - {"rank", "seeds", "note", "members"} <= seeds | {"fid_low", "fid_high"}
    by_name = {row["experiment"]: row for row in rows}
    body = index.select("table.sortable tbody tr")
    assert len(body) == len(rows) == len(by_name)
    for row in body:
        written, cells = by_name[row.select_one(".named").get_text(strip=True)], cells_of(row)
        fid = float(re.match(r"[\d.,]+", cells[keys_of(index).index("fid")])[0].replace(",", ""))
        assert fid == pytest.approx(float(written["fid"]), abs=0.006)
        assert re.match(r"\d+", cells[0])[0] == written["rank"]


def test_shared_ranks_are_marked_and_what_never_ran_has_no_row(index):
    rows = [cells_of(row) for row in index.select("table.sortable tbody tr")]
    ranks = [re.match(r"\d+", cells[0])[0] for cells in rows]
    for cells, rank in zip(rows, ranks, strict=True):
        assert ("=" in cells[0]) == (ranks.count(rank) > 1)
    assert not any("size-512-batch-size-128" in cells[1] for cells in rows)


# --- in a browser -----------------------------------------------------------------------------------------


def names_shown(page) -> list[str]:
    return page.evaluate(
        "() => [...document.querySelectorAll('tbody tr')].filter((row) => row.checkVisibility())"
        ".map((row) => row.querySelector('.tick').value)"
    )


@in_a_browser
def test_rows_are_sorted_filtered_and_ticked_by_keyboard_and_the_address_keeps_it(reader):
    with reader.open("index.html") as opened:
        use(opened)


def naturally(name: str) -> list[tuple[int, str]]:
    """8 before 64."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def use(opened):
    page = opened.page
    everything = names_shown(page)
    assert page.locator("form.filters output").inner_text() == f"{len(everything)} of {len(everything)} shown"

    page.locator("th[data-key=recall] button").focus()
    page.keyboard.press("Enter")
    assert page.locator("th[data-key=recall]").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert page.locator("th[data-key=recall]").get_attribute("aria-sort") == "ascending"
    page.locator("th[data-key=experiment] button").click()
    assert names_shown(page) == sorted(everything, key=naturally)

    page.locator("select[name=conditioning]").select_option("acgan")
    assert names_shown(page) == ["acgan"]
    assert f"1 of {len(everything)}" in page.locator(".counted").inner_text()
    page.locator("[data-do=clear]").click()
    page.locator("input[name=text]").fill("size batch-size-32")
    assert len(names_shown(page)) == 3

    assert page.locator("th[data-key=kid]").is_hidden()
    page.locator(".menu > summary").click()
    page.locator("input[name=column][value=kid]").check()
    assert page.locator("th[data-key=kid]").is_visible()
    page.keyboard.press("Escape")

    for box in page.locator("tbody tr:visible .tick").all()[:2]:
        box.check()
    assert page.locator(".basket a").inner_text() == "Compare 2"
    assert re.fullmatch(r"compare\.html#[^,]+,[^,]+", page.locator(".basket a").get_attribute("href"))

    address, before = page.url, names_shown(page)
    page.goto("about:blank")
    page.goto(address)
    assert names_shown(page) == before
    assert page.locator("th[data-key=kid]").is_visible()
    assert page.locator("th[aria-sort]").get_attribute("data-key") == "experiment"
    assert page.locator(".basket a").inner_text() == "Compare 2"
    assert not opened.complaints


@in_a_browser
def test_a_narrow_table_keeps_the_name_and_shows_the_figure_that_ranks(reader):
    with reader.open("index.html", 390) as opened:
        heading = opened.page.locator("th[data-key=fid]").first.bounding_box()
        assert heading["x"] + heading["width"] <= 390
        opened.page.locator(".board").first.evaluate("(board) => board.scrollTo(500, 0)")
        name = opened.page.locator("tbody th").first.bounding_box()
        assert 0 <= name["x"] < 40
