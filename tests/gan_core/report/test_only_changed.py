"""Of a report, only the pages whose inputs changed are made again."""

import shutil

import pytest

from benchmarks.report_site import pages_of
from gan_core.config import load_configs
from gan_core.store import Store
from tests.gan_core.report.conftest import Workshop
from tests.gan_core.report.example import report


@pytest.fixture
def again(example_report, tmp_path):
    """The example's store, to change something in, with its configurations."""
    folder = shutil.copytree(example_report.parent.parent, tmp_path / "example")
    return Workshop(Store(folder / "store")), load_configs(folder / "configs")


def made_again(store, before) -> set[str]:
    after = pages_of(store)
    return {path for path, when in after.items() if before.get(path) != when}


def test_where_nothing_changed_nothing_is_made(again):
    workshop, configs = again
    report(workshop.store, configs)  # what was copied lies elsewhere now
    before = pages_of(workshop.store)
    report(workshop.store, configs)
    assert pages_of(workshop.store) == before


def test_one_experiment_remakes_its_page_the_tables_and_what_compares_it(again):
    workshop, configs = again
    report(workshop.store, configs)
    before = pages_of(workshop.store)
    workshop.whole(configs.experiments["collapsed"], training={"force": True, "seed": 5}, fid=99.0)
    report(workshop.store, configs)
    made = made_again(workshop.store, before)
    tables = {path for path in before if path.startswith("data/tables/")}
    assert {"index.html", "experiments/collapsed.html", "data/experiments/collapsed.js", *tables} <= made
    others = {path for path in before if path.startswith(("experiments/", "data/experiments/", "datasets"))}
    assert not made & (others - {"experiments/collapsed.html", "data/experiments/collapsed.js"})
    assert "compare.html" not in made  # it knows names, and no figures


def test_a_page_that_somebody_changed_is_made_again(again):
    workshop, configs = again
    report(workshop.store, configs)
    before = pages_of(workshop.store)
    page = next(path for path in before if path.startswith("data/tables/"))
    path = f"{workshop.store.root}/report/{page}"
    with open(path, "a", encoding="utf-8") as file:
        file.write("changed")
    report(workshop.store, configs)
    assert made_again(workshop.store, before) == {page}
