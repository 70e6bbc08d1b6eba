"""Artefacts as the earlier steps publish them, made by hand: the report's own tests train nothing."""

import functools
import io
from collections.abc import Iterator
from pathlib import Path

import numpy
import pandas
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gan_core.config import Experiment
from gan_core.store import Store

PROTOCOL = "classifier-1a2b3c4d5e6f n=2000 vs digits/train(1437) seed=0"


@functools.cache
def digits_png(columns: int, rows: int, noise: float = 0.0) -> bytes:
    """A contact sheet of scikit-learn's digits at 16x16, as a stand-in for samples."""
    digits = load_digits().images[: columns * rows] * (255 / 16)
    digits = digits.repeat(2, axis=1).repeat(2, axis=2)
    digits += numpy.random.default_rng(0).normal(scale=255 * noise, size=digits.shape)
    sheet = digits.reshape(rows, columns, 16, 16).swapaxes(1, 2).reshape(rows * 16, columns * 16)
    output = io.BytesIO()
    Image.fromarray(sheet.clip(0, 255).astype("uint8")).save(output, "PNG")
    return output.getvalue()


MODE_COLLAPSE = {
    "verdict": "mode_collapse",
    "text": "the samples are 12% as far from their nearest neighbour as real images are: G draws few "
    "different images",
    "figure": 0.1234,
    "images_seen": 25_600,
    "keys": ["objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5", "a lower rate"],
}
STAGNATION = {
    "verdict": "stagnation",
    "text": "the best in-training FID is 41.2 in the first half of the run (at 12,800 images), 41 in the "
    "second (at 51,200)",
    "figure": 0.00485,
    "images_seen": 64_000,
    "keys": ["learning_rate_decay: linear", "publish: best"],
}


def training_history(rows: int = 40, seed: int = 0) -> pandas.DataFrame:
    steps = numpy.arange(1, rows + 1) * 25
    noise = numpy.random.default_rng(seed).normal(scale=0.08, size=(6, rows))
    return pandas.DataFrame(
        {
            "images_seen": steps * 64,
            "step": steps,
            "d_loss": 0.5 + 0.8 * numpy.exp(-steps / 200) + noise[0],
            "g_loss": 0.9 + steps / 900 + noise[1],
            "d_real_accuracy": (0.8 + noise[2]).clip(0, 1),
            "d_fake_accuracy": (0.9 + noise[3]).clip(0, 1),
            "d_gradient_norm": 3 * numpy.exp(noise[4] - steps / 400),
            "g_gradient_norm": 0.4 * numpy.exp(noise[5] - steps / 200),
            "images_per_second": 1500.0,
            "seconds": steps * 64 / 1500,
        }
    )


def evaluations(collapsed: bool = False) -> pandas.DataFrame:
    """Five evaluations; the third has the lowest FID."""
    return pandas.DataFrame(
        {
            "images_seen": numpy.arange(1, 6) * 12_800,
            "fid": [210.5, 96.25, 41.125, 44.5, 43.75],
            "diversity": [0.5, 0.42, 0.3, 0.2, 0.1234] if collapsed else [0.5, 0.75, 0.9, 0.95, 0.97],
        }
    )


def parquet(frame: pandas.DataFrame) -> bytes:
    output = io.BytesIO()
    frame.to_parquet(output)
    return output.getvalue()


def verdict_of(found, stopped_by: str | None) -> str:
    """What a training writes as its figure (`gan_core.training.guards.verdict_names`)."""
    names = (item["verdict"] for item in found)
    words = (name.replace("_", " ") + (" (stopped)" if name == stopped_by else "") for name in names)
    return ", ".join(words) or "healthy"


class Workshop:
    """Makes the manifests of one store; each method publishes one artefact."""

    def __init__(self, store: Store):
        self.store = store

    def make(
        self,
        asset,
        partition,
        *,
        config=None,
        inputs=None,
        figures=None,
        details=None,
        files=None,
        force=False,
    ):
        def build(work):
            for name, content in (files or {}).items():
                (work.folder / name).write_bytes(content)
            work.figures = figures or {}
            work.details = details or {}

        return self.store.produce(
            asset,
            partition,
            config=config or {},
            inputs=inputs or {},
            code_version="1",
            build=build,
            force=force,
        )

    def shards(self, dataset="digits"):
        return self.make("image_shards", dataset, config={"image_size": 16})

    def train(
        self,
        experiment: Experiment,
        *,
        found=(),
        stopped_by=None,
        best_at=None,
        seed=0,
        force=False,
        **figures,
    ):
        """A training with these findings; `best_at`: the generator of so many images was published."""
        images_seen = figures.get("images_seen", 60000)
        published = {"images_seen": best_at or images_seen, "which": "best" if best_at else "last"}
        collapsed = any(finding["verdict"] == "mode_collapse" for finding in found)
        return self.make(
            "trained_gan",
            experiment.name,
            config=experiment.training_config(),
            inputs={"image_shards": self.shards(experiment.dataset)},
            figures={
                "images_seen": images_seen,
                "images_per_second": 1523.456789012345,
                "seconds_training": 39.4,
                "parameters_generator": 412_000,
                "verdict": verdict_of(found, stopped_by),
                "fid_in_training": 43.75,
                "fid_best": 41.125,
                "images_seen_best": 38_400,
                "diversity": 0.1234 if collapsed else 0.97,
                **figures,
            },
            details={
                "device": "cpu",
                "torch": "2.15",
                "verdicts": list(found),
                "stopped_by": stopped_by,
                "published": published,
            },
            files={
                "history.parquet": parquet(training_history(seed=seed)),
                "evaluations.parquet": parquet(evaluations(collapsed)),
                "progress.png": digits_png(10, 6, noise=0.3),
                "generator.safetensors": f"weights of {seed}".encode(),
            },
            force=force,
        )

    def train_before_guards(self, experiment: Experiment):
        """A training as issue 2 left them: no verdict, no evaluations, losses alone."""
        history = training_history()[
            ["images_seen", "step", "d_loss", "g_loss", "images_per_second", "seconds"]
        ]
        return self.make(
            "trained_gan",
            experiment.name,
            config=experiment.training_config(),
            inputs={"image_shards": self.shards(experiment.dataset)},
            figures={"images_seen": 60000, "images_per_second": 1500.0},
            details={"device": "cpu"},
            files={"history.parquet": parquet(history), "progress.png": digits_png(10, 6)},
        )

    def sample(self, trained):
        return self.make(
            "samples",
            trained.partition,
            config={"count": 2000},
            inputs={"trained_gan": trained},
            files={"grid.png": digits_png(10, 10, noise=0.1)},
        )

    def evaluate(self, samples, *, protocol=PROTOCOL, **figures):
        measured = {
            "fid": 20.0,
            "kid": 0.02,
            "inception_score": 8.1,
            "inception_score_std": 0.12,
            "fid_test": 24.0,
            "kid_test": 0.025,
            "fid_untrained": 310.0,
            "fid_floor": 1.31,
            "kid_floor": 0.0004,
            "class_accuracy": None,
            "recall": 0.8,
            "coverage": 0.9,
            "distinct": 2000,
            **figures,
        }
        protocols = {
            "fid": protocol,
            "fid_untrained": protocol,
            "kid": f"{protocol} kid=100x1000",
            "fid_test": protocol.replace("train(1437)", "test(360)"),
            "inception_score": protocol.partition(" vs ")[0],
        }
        own = {**measured, "protocol": protocol, "protocols": protocols}
        return self.make(
            "evaluation",
            samples.partition,
            config={"protocol": protocol},
            inputs={"samples": samples},
            figures=measured,
            details={"protocol": protocol, "extractors": {"classifier": own}},
        )

    def whole(self, experiment: Experiment, *, training=None, **evaluation):
        """(trained, samples, evaluation) of one experiment."""
        trained = self.train(experiment, **(training or {}))
        samples = self.sample(trained)
        return trained, samples, self.evaluate(samples, **evaluation)


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    return Workshop(Store(tmp_path / "store"))


@pytest.fixture(scope="session")
def example_report(tmp_path_factory) -> Path:
    """The folder of the report of a small store (see `example`)."""
    from tests.gan_core.report.example import make_example

    return make_example(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="session")
def worn_report(tmp_path_factory) -> Path:
    """The folder of the report of such a store that is worn: damaged, and with one real generator."""
    from tests.gan_core.report.example import make_example

    return make_example(tmp_path_factory.mktemp("worn"), worn=True)


@pytest.fixture(scope="module")
def reader(example_report) -> Iterator:
    """The report of the small store before a browser (see `browser`)."""
    from tests.gan_core.report.browser import reading

    with reading(example_report) as found:
        yield found
