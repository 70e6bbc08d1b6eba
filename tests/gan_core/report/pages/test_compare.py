"""The page that compares configurations: what its files hold, and what it shows in a browser."""

import json
from itertools import combinations

import numpy
import pandas
import pytest

from gan_core.evaluation.statistics.comparing import Candidate, beats
from gan_core.leaderboard.leaderboard import TEST_COLUMNS, leaderboard_frame, seeds_frame
from gan_core.report.views.comparison import LETTERS, NO_TEST, script, table_data
from tests.gan_core.report.browser import MARKS


def content_of(path) -> tuple[str, str, dict]:
    text = path.read_text(encoding="ascii")
    assert text.startswith("ganData(...[") and text.endswith("]);\n")
    return tuple(json.loads(text.removeprefix("ganData(...").removesuffix(");\n")))


@pytest.fixture(scope="module")
def table(example_report):
    (path,) = (example_report / "data" / "tables").iterdir()
    return content_of(path)[2]


def at(table, first, second) -> int:
    pairs = list(combinations(table["names"], 2))
    return pairs.index((first, second)) if (first, second) in pairs else pairs.index((second, first))


def test_a_tables_file_has_the_tests_that_its_ranks_stand_on(example_report, table):
    published = pandas.read_parquet(example_report.parent / "leaderboard" / "leaderboard_tests.parquet")
    fid = table["tests"]["fid"]
    number = len(table["names"]) * (len(table["names"]) - 1) // 2
    assert len(fid["p"]) == len(fid["by"]) == len(fid["corrected"]) == number
    assert len(published) == number
    for row in published.itertuples():
        place = at(table, row.experiment, row.other)
        assert fid["p"][place] == pytest.approx(row.p, rel=0.05)
        assert fid["corrected"][place] == pytest.approx(row.p_corrected, rel=0.05)
        assert fid["by"][place] == LETTERS[row.test]
        if row.shown:
            ranks = [
                table["rows"][table["names"].index(name)]["rank"] for name in (row.experiment, row.other)
            ]
            assert ranks[0] != ranks[1]


def test_other_figures_are_tested_alike_and_higher_may_be_better(example_report, table):
    """Seeds against one seed, by the table of seeds; without an interval one seed each cannot be tested."""
    seeds = pandas.read_parquet(example_report.parent / "leaderboard" / "leaderboard_seeds.parquet")
    recall = {
        name: Candidate(dict(zip(of["seed"], -of["recall"], strict=True)))
        for name, of in seeds.groupby("group")
    }
    several, one = recall["acgan"], recall["plain"]
    expected = min(2 * max(min(beats(several, one), beats(one, several)), 0.0), 1.0)
    place = at(table, "acgan", "plain")
    assert table["tests"]["recall"]["p"][place] == pytest.approx(expected, rel=0.05)
    assert table["tests"]["recall"]["by"][place] == LETTERS["one_seed"]
    place = at(table, "plain", "collapsed")
    assert table["tests"]["recall"]["p"][place] is None
    assert table["tests"]["recall"]["by"][place] == NO_TEST


def test_rows_say_why_they_are_not_compared():
    rows = [
        {"experiment": "plain", "seeds": 1, "demotion": 0, "demoted_for": "", "fid": 9.0},
        {"experiment": "same", "seeds": 1, "demotion": 2, "demoted_for": "repeats images", "fid": 5.0},
    ]
    frame = leaderboard_frame(rows).fillna({"rank": 1})
    tests = pandas.DataFrame([], columns=list(TEST_COLUMNS)).astype(TEST_COLUMNS)
    data = table_data("d", "p", frame, seeds_frame([]), tests, lambda name: {})
    told = {
        name: (row["demotion"], row["demoted_for"])
        for name, row in zip(data["names"], data["rows"], strict=True)
    }
    assert told == {"plain": (0, ""), "same": (2, "repeats images")}


def test_kid_is_tested_by_the_samples_of_one_seed_each():
    """Its own statistic, whatever the order of the FIDs."""
    numbers = numpy.random.default_rng(0)
    real = numbers.normal(0.0, 0.01, 50)

    def evidence(name):
        cross = 0.5 if name == "near" else 0.2
        noise = numbers.normal(0.0, 0.01, (2, 50))
        return {"own": 0.6 + noise[0], "cross": cross + noise[1], "real": real}

    names = ["near", "far"]
    seeds = seeds_frame(
        [
            {"experiment": name, "group": name, "dataset": "d", "protocol": "p", "seed": 0, "demotion": 0}
            | {"kid": kid, "fid": fid}
            for name, kid, fid in (("near", 0.01, 30.0), ("far", 0.07, 20.0))
        ]
    )
    rows = [{"experiment": name, "seeds": 1, "demotion": 0, "kid": 0.1, "fid": 1.0} for name in names]
    frame = leaderboard_frame(rows).fillna({"rank": 1})
    tests = pandas.DataFrame([], columns=list(TEST_COLUMNS)).astype(TEST_COLUMNS)
    found = table_data("d", "p", frame, seeds, tests, evidence)["tests"]["kid"]
    assert found["by"] == LETTERS["mmd"] and found["p"][0] < 1e-6
    without = table_data("d", "p", frame, seeds, tests, lambda name: None)["tests"]["kid"]
    assert without["by"] == NO_TEST and without["p"] == [None]


def test_a_configurations_file_has_settings_curves_and_pictures(example_report):
    kind, name, content = content_of(example_report / "data" / "experiments" / "acgan.js")
    assert (kind, name, content["problems"]) == ("experiments", "acgan", [])
    assert content["config"]["conditioning.name"] == "acgan" and "seed" not in content["config"]
    assert [seed["name"] for seed in content["seeds"]] == ["acgan-seed-0", "acgan-seed-1", "acgan-seed-2"]
    losses = content["seeds"][0]["curves"]["Losses"]
    assert set(losses["lines"]) == {"discriminator", "generator"}
    assert len(losses["images"]) == len(losses["seconds"]) == len(losses["lines"]["generator"])
    assert numpy.all(numpy.diff(losses["seconds"]) > 0)
    assert content["grid"]["source"].startswith("data:image/")


def test_a_file_of_data_ends_no_script_and_is_plain_ascii():
    text = script("experiments", "a", {"note": "</script><!-- \u2028 ü"}).decode("ascii")
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text.removeprefix("ganData(...").removesuffix(");\n"))[2]["note"].endswith("ü")


# --- in a browser -----------------------------------------------------------------------------------------


def in_a_browser(test):
    for mark in MARKS:
        test = mark(test)
    return test


def headings(page) -> list[str]:
    return page.locator("#comparison h2").all_inner_texts()


@in_a_browser
def test_configurations_are_compared_by_figures_settings_images_and_curves(reader):
    with reader.open("compare.html#acgan,plain,collapsed") as opened:
        page = opened.page
        page.wait_for_selector("#comparison h2")
        assert {"Figures", "What differs", "Samples", "Curves"} <= set(headings(page))
        assert page.locator(".chosen li").count() == 3
        fid = page.locator("#comparison tr", has=page.locator("th", has_text="FID")).first.inner_text()
        assert "12.50" in fid and "a difference is shown" in fid and "corrected" in fid
        assert "conditioning.name" in page.locator("#comparison").inner_text()
        assert "none" in page.locator("tr", has_text="conditioning.name").first.inner_text()
        page.get_by_label("seconds of training").check()
        assert page.locator(".charts svg").count() >= 8
        page.get_by_role("button", name="Remove collapsed").click()
        page.wait_for_function("document.querySelectorAll('.chosen li').length === 2")
        assert page.url.endswith("compare.html#acgan,plain")
        page.get_by_label("Add a configuration").fill("no-such")
        page.keyboard.press("Enter")
        assert "There is no no-such" in page.locator(".picker [role=status]").inner_text()
        assert not opened.problems()


@in_a_browser
def test_a_file_that_is_missing_is_told(reader):
    with reader.open("compare.html") as opened:
        page = opened.page
        assert "Add two or more" in page.locator("#comparison").inner_text()
        page.evaluate(
            "() => { known.catalogue.gone = { trained: true, tables: [] }; location.hash = 'plain,gone'; }"
        )
        page.wait_for_selector("#comparison .notice")
        assert "data/experiments/gone.js is missing" in page.locator("#comparison .notice").first.inner_text()
