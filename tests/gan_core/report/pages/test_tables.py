"""Rows of a table: verdicts in short, two names of one training, tables that are told apart."""

import pytest
from bs4 import BeautifulSoup

from gan_core.config import load_configs
from gan_core.report.views.table import badge_of
from gan_core.store import Store
from tests.gan_core.report.conftest import MODE_COLLAPSE, PROTOCOL, STAGNATION, Workshop
from tests.gan_core.report.example import DATASET, report
from tests.small_project import write_config

COMMON = {"dataset": "digits", "length": {"images": 60_000}}
OF_FEW = PROTOCOL.replace("2000", "500")


@pytest.mark.parametrize(
    ("text", "main", "others"),
    [
        ("healthy", "healthy", 0),
        ("unknown", "unknown", 0),
        ("mode collapse, stagnation", "mode collapse", 1),
        ("stagnation, mode collapse (stopped)", "mode collapse (stopped)", 1),
        ("healthy (2 of 3); stagnation (1 of 3)", "stagnation (1 of 3)", 1),
        ("a, b (2 of 4); b (1 of 4); healthy (1 of 4)", "b (3 of 4)", 2),
    ],
)
def test_a_badge_says_the_worst_verdict_and_how_many_more_there_are(text, main, others):
    badge = badge_of(text)
    assert (badge.main, badge.others, badge.text) == (main, others, text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The report of one training under two names, another seed of it, and one by another protocol."""
    folder = tmp_path_factory.mktemp("tables")
    configs = folder / "configs"
    for content in (
        DATASET,
        {"name": "first", **COMMON},
        {"name": "second", **COMMON},
        {"name": "third", "seed": 1, **COMMON},
        {"name": "apart", "batch_size": 16, **COMMON},
    ):
        write_config(configs, content)
    experiments, workshop = load_configs(configs).experiments, Workshop(Store(folder / "store"))
    workshop.whole(experiments["first"], fid=20.0)
    workshop.whole(experiments["second"], fid=40.0, training={"found": (MODE_COLLAPSE, STAGNATION)})
    workshop.whole(experiments["third"], fid=22.0)
    workshop.whole(experiments["apart"], protocol=OF_FEW)
    report(workshop.store, load_configs(configs))
    return folder / "store" / "report"


def soup(path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def text_of(item) -> str:
    return " ".join(item.get_text(" ").split())


def test_a_row_names_every_name_of_a_training_with_its_own_verdict(folder):
    (row,) = [row for row in soup(folder / "index.html").select("tbody tr") if "second" in row.get_text()]
    assert text_of(row.summary) == "2 seeds, 3 names"
    first, second, third = (text_of(item) for item in row.select(".seeds li"))
    assert first == "first 20.00, healthy" and third == "third 22.00, healthy"
    assert second == "second 40.00, mode collapse, stagnation; the same training as first, which counts"


def test_the_page_of_a_training_with_two_names_says_so_and_counts_it_once(folder):
    (path,) = [path for path in (folder / "experiments").iterdir() if path.stem != "apart"]
    page = soup(path)
    text = text_of(page)
    assert (
        "second is the same training as first under another name: figures over seeds count it once." in text
    )
    assert page.select_one(".key-figures .value").get_text() == "21.00"
    assert [text_of(item) for item in page.select(".key-figures .each")[0].select("li")] == [
        "seed 0 20.00",
        "seed 1 22.00",
    ]
    assert "Samples, seed 0, as second" in text and page.find(id="second")
    assert "of 2 seeds" in text and "of 3 seeds" not in text
    assert "seed: [0, 1]" in text


def test_tables_of_one_dataset_are_told_apart_by_their_protocols(folder):
    page = soup(folder / "index.html")
    titles = [text_of(heading) for heading in page.select("section.group > h2")]
    assert sorted(titles) == ["digits n=2000", "digits n=500"]
    links = [text_of(link) for link in page.select("ul.links.datasets a")]
    assert links == titles
