"""The page of a group of experiments: seeds together, real images beside samples, how to make it again."""

import io
import json

import numpy
import pandas
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from gan_core.config import Configs, Dataset, Experiment
from gan_core.config.loading import load_configs
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.errors import StoreError
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts
from gan_core.report.pages import PAGES
from gan_core.report.site import Site
from gan_core.report.views.experiments.lineage import lineage
from gan_core.report.views.experiments.recipe import recipe
from gan_core.report.views.experiments.training import training_charts
from gan_core.report.views.real_images import MOST_READ, RealImages
from gan_core.store import Store
from tests.gan_core.report.conftest import digits_png, training_history
from tests.small_project import write_config

DATASET = {
    "name": "digits",
    "source": {"kind": "digits"},
    "image_size": 16,
    "channels": 1,
    "classes": ["zero", "one", "two"],
}
SEEDS = (0, 1, 2)
NEAR = "How far from real images"


def experiment_of(seed: int, **values) -> Experiment:
    base = {"name": f"acgan-seed-{seed}", "dataset": "digits", "length": {"images": 60_000}, "seed": seed}
    return Experiment.model_validate({**base, "conditioning": {"name": "acgan"}, **values})


def npz(**arrays) -> bytes:
    output = io.BytesIO()
    numpy.savez(output, **arrays)
    return output.getvalue()


def shards_of(store: Store, counts=(40, 40, 40), damaged: bool = False):
    """Grey images, each of the brightness of its class, in turn from all classes."""
    labels = [number for _ in range(max(counts)) for number, count in enumerate(counts) if count]

    def build(work):
        samples = (
            (f"{index:04d}", encode_png(numpy.full((1, 16, 16), 80 * label, dtype=numpy.uint8)), label)
            for index, label in enumerate(labels)
        )
        write_tar(work.folder / "train-000000.tar", samples)
        if damaged:
            (work.folder / "train-000000.tar").write_bytes(b"no tar" * 200)
        work.figures = {"images_train": len(labels)}
        work.details = {
            "splits": {"train": {"images": len(labels), "shards": ["train-000000.tar"], "classes": {}}},
            "classes": DATASET["classes"],
        }

    raw = store.produce("raw_images", "digits", config={}, inputs={}, code_version="1", build=lambda w: None)
    return store.produce(
        "image_shards", "digits", config={}, inputs={"raw_images": raw}, code_version="1", build=build
    )


class Page:
    """The pages of experiments of a store, without the rest of a report."""

    def __init__(self, workshop):
        self.workshop, self.store = workshop, workshop.store
        self.experiments, self.made = {}, {"trained_gan": {}, "samples": {}, "evaluation": {}}
        self.datasets, self.external = {}, {}

    def add(self, experiment: Experiment, evidence=None, **evaluation) -> None:
        trained, samples, evaluated = self.workshop.whole(
            experiment, training={"seed": experiment.seed}, **evaluation
        )
        if evidence:
            files = {"evidence-classifier.npz": npz(**evidence)}
            evaluated = self.workshop.make(
                "evaluation",
                experiment.name,
                config={"with": "evidence"},
                inputs={"samples": samples},
                figures=evaluated.figures,
                details=evaluated.details,
                files=files,
            )
        self.experiments[experiment.name] = experiment
        for asset, manifest in zip(self.made, (trained, samples, evaluated), strict=True):
            self.made[asset][experiment.name] = manifest

    @property
    def site(self) -> Site:
        configs = Configs(datasets={"digits": Dataset.model_validate(DATASET)}, experiments=self.experiments)
        leaderboard = build_leaderboard(
            self.store,
            self.experiments,
            self.made["trained_gan"],
            self.made["evaluation"],
            self.external,
        )
        manifests = {**self.made, "image_shards": self.datasets}
        return Site(self.store, configs, Artefacts(leaderboard, manifests, {}, self.external))

    def pages(self) -> dict[str, BeautifulSoup]:
        return {
            page.path: BeautifulSoup(page.render(), "html.parser")
            for page in PAGES["experiments"].pages(self.site)
        }

    def only(self) -> BeautifulSoup:
        (page,) = self.pages().values()
        return page


@pytest.fixture
def page(workshop) -> Page:
    return Page(workshop)


@pytest.fixture
def three_seeds(page) -> Page:
    confusion = numpy.array([[18, 2, 0], [0, 20, 0], [5, 0, 15]])
    for seed, fid in zip(SEEDS, (10.0, 12.0, 14.0), strict=True):
        shares = {"class_shares.generated": [0.4, 0.4, 0.2], "class_shares.real": [0.3, 0.3, 0.4]}
        page.add(experiment_of(seed), {"accuracy.confusion": confusion, **shares}, fid=fid)
    return page


def cells(table) -> dict[str, list[str]]:
    """The rows of a table by their heading."""
    rows = table.find("tbody").find_all("tr")
    return {
        row.th.get_text(strip=True): [cell.get_text(strip=True) for cell in row.find_all("td")]
        for row in rows
    }


def test_seeds_are_one_page_with_their_mean_and_each_of_them(three_seeds):
    page = three_seeds.only()
    assert page.h1.get_text() == "acgan"
    first = page.select_one(".key-figures > div")
    assert first.dt.get_text().startswith("FID")
    # Student's interval of 10, 12 and 14: 12 ± 4.303 * 2 / √3.
    assert first.select_one(".value").get_text() == "12.00" and "[7.03, 16.97]" in first.get_text()
    assert [item.get_text(" ", strip=True) for item in first.select(".each li")] == [
        f"seed {seed} {fid}" for seed, fid in zip(SEEDS, ("10.00", "12.00", "14.00"), strict=True)
    ]
    table = page.find("caption", string=NEAR).find_parent("table")
    assert cells(table)["FID ↓"] == ["12.00 [7.03, 16.97]", "10.00", "12.00", "14.00"]


def test_figures_of_different_protocols_have_no_mean(page):
    for seed, protocol in enumerate(("one n=2000", "one n=2000", "two n=500", "two n=500")):
        page.add(experiment_of(seed), fid=10.0 + 2 * seed, protocol=protocol)
    found = page.only()
    values = [item.get_text(" ", strip=True) for item in found.select(".key-figures > div:first-child dd")]
    assert [value.split()[0] for value in values] == ["11.00", "15.00"]
    assert all("(2 of 4 seeds)" in value for value in values)
    tables = [caption.find_parent("table") for caption in found.find_all("caption", string=NEAR)]
    assert [cells(table)["FID ↓"] for table in tables] == [
        ["11.00 [0.0000, 23.71] (2 of 4 seeds)", "10.00", "12.00"],
        ["15.00 [2.29, 27.71] (2 of 4 seeds)", "14.00", "16.00"],
    ]
    text = found.select_one("#part_figures").find_parent().get_text(" ")
    assert "seed 0, seed 1, by the protocol one n=2000" in " ".join(text.split())
    assert "different protocols" in found.select_one(".verdicts ~ .notice").get_text()


def test_a_mean_of_fewer_seeds_says_of_how_many(page):
    for seed in SEEDS:
        page.add(experiment_of(seed), fid=10.0 + seed, recall=None if seed == 1 else 0.8)
    (table,) = (caption.find_parent("table") for caption in page.only().find_all("caption", string=NEAR))
    assert cells(table)["FID ↓"][0].endswith("]")
    found = {name: row for table in page.only().select("table.figures") for name, row in cells(table).items()}
    assert found["Recall ↑"] == ["80.0% (2 of 3 seeds)", "80.0%", "—", "80.0%"]


def test_every_seed_can_be_linked_to_and_has_its_samples(three_seeds):
    page = three_seeds.only()
    for seed in SEEDS:
        place = page.find(id=f"acgan-seed-{seed}")
        assert place.img["alt"] == f"Grid of samples drawn by acgan-seed-{seed}"
        assert three_seeds.site.place(f"acgan-seed-{seed}") == f"experiments/acgan.html#acgan-seed-{seed}"
    inside = {link["href"] for link in page.select("nav.parts a")}
    assert {"#part_samples", "#part_figures", "#part_lineage"} <= inside
    assert all(page.find(id=anchor[1:]) for anchor in inside)


def test_the_same_verdict_of_all_seeds_is_said_once(three_seeds):
    states = three_seeds.only().select(".run-state")
    assert [state.strong.get_text() for state in states] == ["seed 0, seed 1, seed 2"]


def test_curves_of_seeds_are_a_mean_with_a_band_around_it(three_seeds):
    page = three_seeds.only()
    charts = [json.loads(item.string) for item in page.select("#part_training ~ .charts .drawing script")]
    losses = next(chart for chart in charts if chart["title"] == "Losses")
    line = losses["series"][0]
    assert len(line["x"]) == 40 == len(line["low"])
    assert losses["note"] == "mean; band: lowest to highest of 3 seeds"
    assert all(
        low <= mean <= high for low, mean, high in zip(line["low"], line["y"], line["high"], strict=True)
    )
    assert max(high - low for low, high in zip(line["low"], line["high"], strict=True)) > 0.01


def test_curves_of_other_moments_are_a_line_for_each_seed():
    empty = pandas.DataFrame()
    tables = {"seed 0": (training_history(40), empty), "seed 1": (training_history(25), empty)}
    losses = training_charts(tables)[0]
    assert [(line.label, line.part_of, len(line.x)) for line in losses.series] == [
        ("discriminator, seed 0", "discriminator", 40),
        ("generator, seed 0", "generator", 40),
        ("discriminator, seed 1", "discriminator", 25),
        ("generator, seed 1", "generator", 25),
    ]
    assert losses.note == "a line for each of 2 seeds" and all(line.low is None for line in losses.series)
    alone = training_charts({"seed 1": tables["seed 1"]}, several=True)[0]
    assert alone.note == "of seed 1"


def test_one_seed_has_its_own_curves_without_a_band(page):
    page.add(experiment_of(0))
    charts = page.only().select("#part_training ~ .charts .drawing script")
    assert json.loads(charts[0].string)["series"][0]["low"] is None


def test_confusion_adds_up_the_seeds_and_names_the_mistakes(three_seeds):
    three_seeds.datasets["digits"] = shards_of(three_seeds.store)
    page = three_seeds.only()
    table = page.select_one("table.confusion")
    assert cells(table) == {"zero": ["90", "10", ""], "one": ["", "100", ""], "two": ["25", "", "75"]}
    assert "180 samples" in table.caption.get_text()
    text = page.select_one("#part_classes").find_parent().get_text()
    assert "two for zero (25.0%), zero for one (10.0%)" in " ".join(text.split())
    bars = json.loads(page.select_one("#part_classes ~ .beside .drawing script").string)["bars"]
    assert [(bar["label"], bar["value"], bar["tick"]) for bar in bars] == [
        ("zero", 0.4, 0.3),
        ("one", 0.4, 0.3),
        ("two", 0.2, 0.4),
    ]


def test_a_training_that_says_what_its_strip_shows_can_be_played(page, workshop):
    experiment = experiment_of(0)
    page.add(experiment)
    assert page.only().select_one(".player") is None
    described = {"images_seen": [0, 56, 800], "columns": 10, "left": 96, "side": 48, "pitch": 54}
    page.made["trained_gan"][experiment.name] = workshop.make(
        "trained_gan",
        experiment.name,
        config=experiment.training_config(),
        inputs={"image_shards": workshop.shards()},
        details={"verdicts": [], "progress": described},
        files={"progress.png": digits_png(10, 3)},
        force=True,
    )
    assert json.loads(page.only().select_one(".player script").string) == described


def test_the_lineage_goes_down_to_the_inventory_of_the_images(page):
    shards = shards_of(page.store)
    trained = page.workshop.make("trained_gan", "first", inputs={"image_shards": shards})
    samples = page.workshop.make("samples", "first", inputs={"trained_gan": trained})
    found = lineage(page.store, "digits", [samples])
    assert [link.asset for link in found] == ["raw_images", "image_shards", "trained_gan", "samples"]
    assert [link.partition for link in found] == ["digits", "digits", "first", "first"]
    page.store.remove(f"raw_images/digits/{shards.inputs['raw_images']}")
    gone = lineage(page.store, "digits", [samples])[0]
    assert gone.made == "no longer in the store" and shards.inputs["raw_images"].startswith(gone.fingerprint)


# --- how to make it again ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"objective": {"name": "wasserstein", "gradient_penalty": 10}, "n_critic": 5},
        {"architecture": {"name": "mlp", "width": 64}, "optimizers": {"generator": {"name": "rmsprop"}}},
        {"description": "Says: more than `one` thing, # and so on", "output": {"activation": "sigmoid"}},
    ],
)
def test_the_configuration_as_yaml_is_a_file_of_the_same_experiments(tmp_path, values):
    experiments = [experiment_of(seed, **values) for seed in SEEDS]
    text = recipe("acgan", experiments, {}).yaml
    write_config(tmp_path, DATASET)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "acgan.yaml").write_text(text, encoding="utf-8")
    configs = load_configs(tmp_path)
    assert not configs.mistakes
    assert list(configs.experiments.values()) == experiments


def test_a_training_of_an_earlier_configuration_is_shown_as_it_was(workshop):
    trained = workshop.train(experiment_of(0, batch_size=32))
    found = recipe("acgan-seed-0", [experiment_of(0)], {trained.partition: trained})
    assert "batch_size: 32" in found.yaml and ("Batch size", "32") in found.own


def test_a_training_is_that_of_its_own_experiment(workshop):
    """The first seed's is not in the store: what is shown is as the second one was trained."""
    trained = workshop.train(experiment_of(1, batch_size=32))
    found = recipe("acgan", [experiment_of(0), experiment_of(1)], {trained.partition: trained})
    assert ("Batch size", "32") in found.own and ("Seed", "1") in found.own
    assert "seed: [0, 1]" in found.yaml


def test_settings_are_those_that_differ_and_the_rest_is_apart():
    found = recipe("acgan-seed-1", [experiment_of(1, n_critic=3)], {})
    own, default = dict(found.own), dict(found.default)
    assert own["D steps per G step"] == "3" and own["Conditioning"].startswith("acgan") and own["Seed"] == "1"
    assert "Batch size" in default and not own.keys() & default.keys()
    assert "python -m gan_core train acgan-seed-1" in [command.line for command in found.commands]


def test_the_commands_train_sample_and_measure_every_seed():
    found = recipe("acgan", [experiment_of(0), experiment_of(1)], {})
    lines = "\n".join(command.line for command in found.commands).splitlines()
    for step in ("train", "sample", "evaluate"):
        assert {f"python -m gan_core {step} acgan-seed-{seed}" for seed in (0, 1)} <= set(lines)


# --- real images ------------------------------------------------------------------------------------------


def pixels(picture) -> numpy.ndarray:
    import base64

    content = base64.b64decode(picture.source.partition(",")[2])
    return numpy.asarray(Image.open(io.BytesIO(content)))


def test_real_images_stand_in_the_order_of_the_classes_of_the_samples(tmp_path):
    store = Store(tmp_path / "store")
    sheet = pixels(RealImages(store).sheet(shards_of(store), [2, 0]))
    assert sheet.shape == (2 * 18 - 2, 10 * 18 - 2)
    assert (sheet[:16, :16] == 160).all() and (sheet[18:, -16:] == 0).all()


def test_of_too_few_images_of_a_class_the_first_ones_are_shown(tmp_path):
    store = Store(tmp_path / "store")
    shards = shards_of(store, (40, 40, 0))
    assert pixels(RealImages(store).sheet(shards, [0, 2])).shape == (8 * 18 - 2, 10 * 18 - 2)  # all 80


def test_the_beginning_of_the_shards_is_read_once(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    shards, real = shards_of(store, (400, 400, 400)), RealImages(store)
    assert real.sheet(shards, [0, 1]) and len(real._read[shards.version]) == MOST_READ
    monkeypatch.setattr(store.fs, "open", None)
    assert real.sheet(shards) and real.thumbnail(shards)


def test_shards_that_cannot_be_read_are_a_problem_of_the_page_and_no_more(page):
    page.datasets["digits"] = shards_of(page.store, damaged=True)
    with pytest.raises(StoreError, match="shard digits --force"):
        RealImages(page.store).sheet(page.datasets["digits"])
    page.add(experiment_of(0))
    html = page.only()
    assert "python -m gan_core shard digits --force" in html.select_one(".verdicts").get_text()
    assert html.select_one(".key-figures") and html.find(alt="Grid of samples drawn by acgan-seed-0")


# --- samples from elsewhere -------------------------------------------------------------------------------


def test_samples_from_elsewhere_have_a_page_that_says_so(page):
    page.add(experiment_of(0))
    own = page.made["evaluation"]["acgan-seed-0"]
    page.external["published"] = page.workshop.make(
        "external_evaluation",
        "published",
        config={
            "dataset": "digits",
            "description": "Of <a> paper.",
            "source": "samples.zip",
            "samples": 2000,
        },
        figures=own.figures,
        details={**own.details, "warnings": ["they were enlarged"], "left_out": ["a.png (truncated)"]},
    )
    html = page.pages()["external/published.html"]
    text = " ".join(html.get_text().split())
    assert "Nobody here trained this generator" in text and "Of <a> paper." in text
    assert "they were enlarged" in text and "a.png (truncated)" in text
    assert html.select_one(".key-figures .value").get_text() == "20.00"
    assert page.site.row_path("published") == "external/published.html"
    assert page.site.row_path("nothing") is None


def test_another_experiment_changes_no_page_but_its_own(page):
    page.add(experiment_of(0, name="first"))
    before = {item.path: item.fingerprint for item in PAGES["experiments"].pages(page.site)}
    page.add(experiment_of(0, name="second", batch_size=32), fid=5.0)
    after = {item.path: item.fingerprint for item in PAGES["experiments"].pages(page.site)}
    assert len(after) == 2
    assert after["experiments/first.html"] == before["experiments/first.html"]
