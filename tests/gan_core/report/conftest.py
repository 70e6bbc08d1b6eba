"""Artefacts as the earlier steps publish them, made by hand: the report's own tests train nothing."""

import io

import numpy
import pandas
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gan_core.config import Experiment
from gan_core.store import Store

PROTOCOL = "classifier-1a2b3c4d5e6f n=2000 vs digits/train(1437) seed=0"


def digits_png(columns: int, rows: int, noise: float = 0.0) -> bytes:
    """A contact sheet of scikit-learn's digits at 16x16, as a stand-in for samples."""
    digits = load_digits().images[: columns * rows] * (255 / 16)
    digits = digits.repeat(2, axis=1).repeat(2, axis=2)
    digits += numpy.random.default_rng(0).normal(scale=255 * noise, size=digits.shape)
    sheet = digits.reshape(rows, columns, 16, 16).swapaxes(1, 2).reshape(rows * 16, columns * 16)
    output = io.BytesIO()
    Image.fromarray(sheet.clip(0, 255).astype("uint8")).save(output, "PNG")
    return output.getvalue()


def loss_history(rows: int = 40) -> pandas.DataFrame:
    steps = numpy.arange(1, rows + 1) * 25
    noise = numpy.random.default_rng(0).normal(scale=0.08, size=(2, rows))
    return pandas.DataFrame(
        {
            "images_seen": steps * 64,
            "step": steps,
            "d_loss": 0.5 + 0.8 * numpy.exp(-steps / 200) + noise[0],
            "g_loss": 0.9 + steps / 900 + noise[1],
            "images_per_second": 1500.0,
            "seconds": steps * 64 / 1500,
        }
    )


class Workshop:
    """Makes the manifests of one store; each method publishes one artefact."""

    def __init__(self, store: Store):
        self.store = store

    def make(self, asset, partition, *, config=None, inputs=None, figures=None, details=None, files=None):
        def build(work):
            for name, content in (files or {}).items():
                (work.folder / name).write_bytes(content)
            work.figures = figures or {}
            work.details = details or {}

        return self.store.produce(
            asset, partition, config=config or {}, inputs=inputs or {}, code_version="1", build=build
        )

    def shards(self, dataset="digits"):
        return self.make("image_shards", dataset, config={"image_size": 16})

    def train(self, experiment: Experiment, **figures):
        history = io.BytesIO()
        loss_history().to_parquet(history)
        return self.make(
            "trained_gan",
            experiment.name,
            config=experiment.training_config(),
            inputs={"image_shards": self.shards(experiment.dataset)},
            figures={
                "images_seen": 60000,
                "images_per_second": 1523.456789012345,
                "seconds_training": 39.4,
                "parameters_generator": 412_000,
                **figures,
            },
            details={"device": "cpu", "torch": "2.15"},
            files={
                "history.parquet": history.getvalue(),
                "progress.png": digits_png(10, 6, noise=0.3),
                "generator.safetensors": b"weights",
            },
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

    def whole(self, experiment: Experiment, **evaluation):
        """(trained, samples, evaluation) of one experiment."""
        trained = self.train(experiment)
        samples = self.sample(trained)
        return trained, samples, self.evaluate(samples, **evaluation)


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    return Workshop(Store(tmp_path / "store"))
