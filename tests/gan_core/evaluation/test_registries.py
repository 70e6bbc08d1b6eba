"""A metric and an extractor that exist in this file only, from YAML to evaluation, leaderboard and report."""

import html
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from gan_core import steps
from gan_core.config import load_configs
from gan_core.data.pixels import decode_png
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.data.tars import read_tar
from gan_core.errors import ConfigError
from gan_core.evaluation.classifier import train_classifier
from gan_core.evaluation.evaluate import evaluate_samples
from gan_core.evaluation.evidence import pictures_of, read_evidence
from gan_core.evaluation.extractors.base import EXTRACTORS, FeatureExtractor, check_images
from gan_core.evaluation.figures import FIGURES, Figure, percent
from gan_core.evaluation.metrics.base import METRICS, Gatherer, Metric, Statistic, add_metric
from gan_core.evaluation.reference import compute_reference_statistics
from gan_core.images import grid_png
from gan_core.leaderboard.leaderboard import build_leaderboard, read_leaderboard
from gan_core.leaderboard.tables import leaderboard_markdown, leaderboard_text
from gan_core.registry import register
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.report import build_report
from gan_core.sampling import draw_samples
from gan_core.store import FileEntry, Manifest, Store
from gan_core.training import train_gan
from tests.few_images import train_briefly
from tests.report_pages import whole_report
from tests.small_project import DATASET, EXPERIMENT, write_config


class Brightness(Gatherer):
    """The mean of the pixels (0..1): of the images themselves, which no metric of the product looks at."""

    def __init__(self):
        self.sum = self.pixels = 0

    def update(self, batch):
        self.sum += int(batch.images.sum())
        self.pixels += batch.images.numel()

    def finish(self):
        return self.sum / self.pixels / 255


@pytest.fixture
def brightness_gap():
    """A metric of the images themselves with every variant, and one that looks at the test split too."""
    statistic = Statistic(
        "brightness",
        lambda count, seed: Brightness(),
        to_arrays=lambda value: {"mean": np.array(value)},
        of_arrays=lambda arrays: float(arrays["mean"]),
    )
    derived = Statistic(
        "darkness",
        derive=lambda images, train: 1 - images[statistic],
        to_arrays=lambda value: {"mean": np.array(value)},
        of_arrays=lambda arrays: float(arrays["mean"]),
    )
    metric = Metric(
        figures={"gap": Figure("Brightness gap", "lower", "How much brighter one set is.", percent)},
        compute=lambda sides: {"gap": abs(sides.generated[statistic] - sides.real[statistic])},
        generated=(statistic,),
        real=(statistic, derived),
        variants=("untrained", "test", "floor"),
        columns=("untrained",),
        interval=lambda sides: (sides.real[statistic] - 1, sides.real[statistic] + 1),
        evidence=lambda sides: {"darkness": np.array([sides.real[derived]])},
        picture=lambda arrays, generated, train: grid_png(
            torch.cat([generated(np.array([5])), train(np.array([7]))]), 2
        ),
        settings=lambda sides: f"brightness={sides.real.count}",
    )
    held_out = Metric(
        figures={"held_out": Figure("Nearer to test", "higher", "Whether samples look unseen.")},
        compute=lambda sides: {"held_out": sides.held_out[statistic] - sides.real[statistic]},
        generated=(statistic,),
        real=(statistic,),
        held_out=True,
    )
    add_metric("brightness", metric)
    add_metric("unseen", held_out)
    yield
    for name in ("brightness", "unseen"):
        for figure in METRICS.pop(name).all_figures:
            del FIGURES[figure]


@pytest.fixture
def thumbnail():
    """An extractor without a network: images at 4x4 pixels."""

    @register(EXTRACTORS, "thumbnail")
    class Thumbnail(FeatureExtractor):
        name = "thumbnail"
        feature_dim = 16
        resize = "4-mean"
        compares_with_papers = True
        fingerprint = "7" * 64

        @classmethod
        def fingerprint_of(cls, sources):
            return cls.fingerprint

        @classmethod
        def open(cls, sources):
            return cls()

        def extract(self, images):
            check_images(images)
            small = torch.nn.functional.adaptive_avg_pool2d(images[:, :1].float(), 4)
            return small.flatten(1), None

    yield
    del EXTRACTORS["thumbnail"]


def quiet(line):
    pass


def run_from_yaml(folder: Path):
    """Every step of the small project, from its YAML files."""
    configs, store = load_configs(folder / "configs"), Store(folder / "store")
    dataset, experiment = configs.datasets["few-digits"], configs.experiments["plain"]
    raw = collect_raw_images(store, dataset, emit=quiet)
    shards = write_image_shards(store, dataset, raw, emit=quiet)
    with pytest.MonkeyPatch.context() as patch:
        train_briefly(patch)
        classifier = train_classifier(store, dataset, shards, emit=quiet)
    reference = compute_reference_statistics(store, dataset, shards, classifier, emit=quiet)
    trained = train_gan(store, experiment, dataset, shards, emit=quiet)
    samples = draw_samples(store, experiment, dataset, trained, shards, emit=quiet)
    evaluation = evaluate_samples(store, dataset, samples, reference, classifier, emit=quiet)
    manifests = stored(store, configs, {})
    leaderboard = build_leaderboard(
        store, configs.experiments, manifests["trained_gan"], manifests["evaluation"], emit=quiet
    )
    build_report(store, configs, Artefacts(leaderboard, manifests), emit=quiet)
    page = whole_report(store)
    visible = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    return store, shards, samples, evaluation, leaderboard, visible


def mean_of(images) -> float:
    return float(np.stack(list(images)).mean() / 255)


def test_from_yaml_to_report_without_touching_the_product(tmp_path, brightness_gap, thumbnail):
    settings = {"extractors": ["thumbnail", "classifier"], "metrics": ["fid", "brightness", "unseen"]}
    write_config(tmp_path / "configs", {**DATASET, "evaluation": settings | {"samples": 120}})
    write_config(tmp_path / "configs", EXPERIMENT)
    store, shards, samples, evaluation, leaderboard, visible = run_from_yaml(tmp_path)

    # The figures are right, and there are no others.
    means = {
        split: mean_of(
            decode_png(png)
            for name in shards.details["splits"][split]["shards"]
            for _, png, _ in read_tar(store.local(shards, name))
        )
        for split in ("train", "test")
    }
    drawn = mean_of(decode_png(png) for _, png, _ in read_tar(store.local(samples, "samples-000000.tar")))
    figures = evaluation.figures
    assert figures["gap"] == pytest.approx(abs(drawn - means["train"]), rel=1e-6)
    assert figures["gap_test"] == pytest.approx(abs(drawn - means["test"]), rel=1e-6)
    assert figures["held_out"] == pytest.approx(means["test"] - means["train"], rel=1e-6)
    assert figures["gap_untrained"] > 0 and figures["gap_floor"] >= 0
    ends = ("", "_low", "_high", "_untrained", "_test", "_floor")
    assert list(figures) == [*(f"{name}{end}" for name in ("fid", "gap") for end in ends), "held_out"]
    bounds = pytest.approx((means["train"] - 1, means["train"] + 1), rel=1e-6)
    assert (figures["gap_low"], figures["gap_high"]) == bounds

    # What stands behind the figures: an array of a statistic that was derived with the reference, a picture.
    darkness = read_evidence(store, evaluation, "brightness")["darkness"]
    assert darkness == pytest.approx([1 - means["train"]], rel=1e-6)
    assert pictures_of(evaluation) == {"brightness": "brightness-thumbnail.png"}
    picture = decode_png(store.local(evaluation, "brightness-thumbnail.png").read_bytes())
    sample = [decode_png(png) for _, png, _ in read_tar(store.local(samples, "samples-000000.tar"))][5]
    assert (picture[:1, :16, :16] == sample).all()

    # Its protocol is that of the extractor, with what the metric adds.
    count = shards.details["splits"]["train"]["images"]
    of_train = f"thumbnail-777777777777 n=120 vs few-digits/train({count})@{shards.fingerprint[:8]} seed=0"
    protocol = evaluation.details["protocol"]
    assert protocol.startswith(f"{of_train} labels=data images=16x16x1 resize=4-mean dtype=float32 ")
    measured = evaluation.details["extractors"]
    assert measured["thumbnail"]["protocols"]["gap"] == f"{protocol} brightness={count}"
    assert measured["classifier"]["protocols"]["gap"].startswith("classifier-")

    # Leaderboard: columns, and a heading with the arrow in each table.
    frame = read_leaderboard(store, leaderboard)
    for name, value in figures.items():
        assert frame[name][0] == value
    csv = pandas.read_csv(Path(store.root, "leaderboard", "leaderboard.csv"), float_precision="round_trip")
    assert csv["gap"][0] == figures["gap"] and csv["held_out"][0] == figures["held_out"]
    for table in (leaderboard_text(frame), leaderboard_markdown(frame)):
        assert "Brightness gap ↓" in table and "Nearer to test ↑" in table
        assert percent(figures["gap"]) in table and "KID" not in table

    # Report: column, variants, explanation, protocol; and no warning that it does not compare with papers.
    for text in (
        "Brightness gap\u00a0↓",
        "Brightness gap, untrained\u00a0↓",
        "Brightness gap, real against real ↓",
        "How much brighter one set is.",
        "The Brightness gap against images that were never trained on.",
        f"{protocol} brightness={count}",
        "By the classifier extractor",
        percent(figures["gap_floor"]),
    ):
        assert text.replace("\u00a0", " ") in visible.replace("\u00a0", " "), text
    assert "not with published ones" not in visible
    assert "Inception Score" not in visible


def test_another_choice_of_metrics_is_another_evaluation_of_the_same_training(tmp_path, brightness_gap):
    def fingerprints(**evaluation):
        write_config(tmp_path / "configs", {**DATASET, "evaluation": {"samples": 50, **evaluation}})
        write_config(tmp_path / "configs", EXPERIMENT)
        configs = load_configs(tmp_path / "configs")
        dataset, experiment = configs.datasets["few-digits"], configs.experiments["plain"]
        classifier = manifest_of("classifier", files={"classifier.safetensors": entry()})
        shards = manifest_of("image_shards")
        made = manifest_of("samples")
        return (
            steps.trained_gan(experiment, shards).fingerprint,
            steps.samples(experiment, dataset, made, shards).fingerprint,
            steps.reference_statistics(dataset, shards, classifier).fingerprint,
            steps.evaluation(dataset, made, shards, classifier).fingerprint,
        )

    everything, fid = fingerprints(), fingerprints(metrics=["fid"])
    assert everything[:2] == fid[:2]
    assert everything[2] != fid[2] and everything[3] != fid[3]
    by_default = [name for name, metric in METRICS.items() if metric.by_default]
    assert fingerprints(metrics=by_default) == everything


def manifest_of(asset, **values):

    names = {"asset": asset, "partition": "few-digits", "fingerprint": "0" * 64, "code_version": "1"}
    return Manifest(**names, config={}, inputs={}, **values)


def entry():

    return FileEntry(path="x", size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"extractors": ["dinov9"]}, "there is no `dinov9`: choose from classifier, dinov2, inception"),
        ({"metrics": ["fid", "ppl"]}, "there is no `ppl`: choose from fid, fid_infinity, precision"),
        ({"metrics": []}, "metrics"),
        ({"weights": {"vgg": "x"}}, "there is no `vgg`: choose from classifier, dinov2, inception"),
    ],
)
def test_names_that_are_not_registered_are_configuration_errors(tmp_path, evaluation, message):
    write_config(tmp_path, {**DATASET, "evaluation": evaluation})
    with pytest.raises(ConfigError, match=message):
        load_configs(tmp_path).dataset(DATASET["name"])


def test_the_table_of_metrics_in_the_documentation_has_all_of_them():
    text = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
    table = text[text.index("| metric | figures | needs |") :].partition("\n\n")[0]
    named = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(named) == sorted(METRICS)
