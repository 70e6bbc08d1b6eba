"""The page of a dataset, and the list of datasets."""

import json

import pytest
from bs4 import BeautifulSoup

from gan_core.config import Configs, Dataset
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts
from gan_core.report.pages import PAGES
from gan_core.report.site import Site
from tests.gan_core.report.conftest import digits_png
from tests.gan_core.report.pages.test_experiment import DATASET, experiment_of, shards_of

LICENCE = "CC <BY> 4.0"


def reference(workshop, images: int):
    floor = {"samples": images, "figures": {"fid": 1.25, "recall": 0.97}, "protocols": {}}
    return workshop.make(
        "reference_statistics",
        "digits",
        config={"images": images},
        details={"extractors": {"classifier": {"floor": {"at_samples": floor}}}},
    )


class Datasets:
    """The pages of one dataset of a store."""

    def __init__(self, workshop):
        self.workshop, self.made, self.unreadable = workshop, {}, {}
        self.experiment = experiment_of(0)

    def put(self, asset, **content):
        self.made[asset] = {"digits": self.workshop.make(asset, "digits", **content)}

    def pages(self) -> dict[str, BeautifulSoup]:
        trained, samples, evaluation = self.workshop.whole(self.experiment)
        of = {
            "trained_gan": {self.experiment.name: trained},
            "samples": {self.experiment.name: samples},
            "evaluation": {self.experiment.name: evaluation},
        }
        dataset = Dataset.model_validate({**DATASET, "licence": LICENCE})
        configs = Configs(datasets={"digits": dataset}, experiments={self.experiment.name: self.experiment})
        leaderboard = build_leaderboard(
            self.workshop.store, configs.experiments, of["trained_gan"], of["evaluation"]
        )
        artefacts = Artefacts(leaderboard, {**of, **self.made}, {}, {}, self.unreadable)
        site = Site(self.workshop.store, configs, artefacts)
        return {
            page.path: BeautifulSoup(page.render(), "html.parser") for page in PAGES["datasets"].pages(site)
        }

    def text(self) -> str:
        return " ".join(self.pages()["datasets/digits.html"].get_text(" ").split())


@pytest.fixture
def datasets(workshop) -> Datasets:
    return Datasets(workshop)


def test_a_dataset_of_which_nothing_was_made_says_so(datasets):
    pages = datasets.pages()
    assert "There are no shards of this dataset yet." in pages["datasets/digits.html"].get_text()
    assert "no images yet" in pages["datasets.html"].get_text()


def test_its_classes_files_and_experiments_are_shown(datasets):
    counts = {"zero": 30, "one": 50, "two": 40}
    datasets.put(
        "image_shards",
        config={"counts": True},
        figures={"images_train": 120, "images_test": 30, "shards": 2, "bytes": 3_696_640, "undecodable": 1},
        details={
            "splits": {"train": {"images": 120, "classes": counts}},
            "classes": list(counts),
            "original_sizes": {
                "smallest": [8, 8],
                "largest": [40, 9],
                "most_common": [[12, 8, 0.6], [20, 10, 0.2]],
            },
            "undecodable": [{"split": "train", "key": "broken.png", "reason": "truncated"}],
        },
    )
    datasets.put(
        "raw_images",
        figures={"bytes": 150_000, "left_out": 2},
        details={
            "splits": {"train": {"images": 120, "location": "photos.zip"}},
            "left_out": [["notes.txt", "no image"]],
        },
    )
    page = datasets.pages()["datasets/digits.html"]
    chart = json.loads(page.select_one(".drawing script").string)
    assert [(bar["label"], bar["value"]) for bar in chart["bars"]] == list(counts.items())
    text = " ".join(page.get_text(" ").split())
    assert "3 classes, from 30 images (zero) to 50 (one)." in text
    assert "2, 3.7 MB in all" in text and "150.0 kB in 120 images, 1.2 kB each on average" in text
    assert "from 8 × 8 to 40 × 9 pixels; most often 12 × 8 (60%), 20 × 10 (20%)" in text
    assert "Files of the source that are no images 2" in text and "Images that do not decode 1" in text
    assert "notes.txt" in text and "broken.png" in text and LICENCE in text
    assert page.select_one(".links a")["href"] == "../experiments/acgan-seed-0.html"


def test_the_list_has_a_picture_of_each(datasets):
    datasets.made["image_shards"] = {"digits": shards_of(datasets.workshop.store)}
    pages = datasets.pages()
    assert pages["datasets.html"].img["alt"] == "Some images of digits"
    assert "120 train images · 1 experiment" in pages["datasets.html"].get_text()
    assert pages["datasets/digits.html"].select_one("figure img")["src"].startswith("data:image/png")


@pytest.mark.parametrize(("images", "warned"), [(385, True), (5_000, False)])
def test_a_floor_says_on_how_many_images_it_stands(datasets, images, warned):
    datasets.made["reference_statistics"] = {"digits": reference(datasets.workshop, images)}
    text = datasets.text()
    assert f"{images:,} images" in text and "1.25" in text and "97.0%" in text
    assert ("figures of so few are uncertain" in text) is warned


def test_near_duplicates_are_counted_and_shown(datasets):
    assert "Not looked for" in datasets.text()
    datasets.put(
        "duplicates",
        figures={
            "duplicates": 12,
            "duplicate_share": 0.1,
            "groups": 5,
            "largest_group": 4,
            "groups_of_several_classes": 1,
            "leaks": 3,
            "leak_share": 0.1,
        },
        details={"asked": True},
        files={"pairs.png": digits_png(4, 2), "groups.png": digits_png(4, 3)},
    )
    text = datasets.text()
    assert (
        "Near-duplicates of another train image 12 (10.0%)" in text and "Groups of several classes 1" in text
    )
    assert "Test images with one in train 3 (10.0%)" in text
    alts = [image["alt"] for image in datasets.pages()["datasets/digits.html"].select(".pictures img")]
    assert len(alts) == 2 and alts[0].startswith("Pairs of near-duplicates")


def test_what_is_damaged_is_named(datasets):
    datasets.unreadable["classifier/digits"] = "its manifest was edited: reference digits --force"
    assert "its manifest was edited" in datasets.text()
    datasets.put("duplicates", figures={}, details={"asked": True})
    assert "dataset digits cannot be read" in datasets.text()
