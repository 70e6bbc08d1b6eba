"""Small shards and experiments that train in a second."""

import numpy as np
import pytest

from gan_core.config import Dataset, Experiment
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.store import Build, Manifest, Store

IMAGES, CLASSES = 50, ["a", "b", "c"]


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.model_validate(
        {
            "name": "tiny",
            "source": {"kind": "images"},
            "image_size": 16,
            "channels": 1,
            "classes": CLASSES,
            "splits": ["train"],
            "evaluation": {"samples": 45, "seed": 3},
        }
    )


@pytest.fixture
def make_experiment():
    """An `Experiment` of 800 images in batches of 8, every part of it replaceable."""

    def make(**values) -> Experiment:
        base = {
            "name": "small",
            "dataset": "tiny",
            "architecture": {"width": 4},
            "latent": {"size": 6},
            "batch_size": 8,
            "length": {"images": 800},
            "checkpoint_every": 80,
            "sample_every": 200,
            "evaluate_every": 200,
            "evaluation_samples": 64,
            "log_every": 7,
        }
        return Experiment.model_validate({**base, **values})

    return make


@pytest.fixture
def make_shards():
    """Write 50 random 16x16 images with labels as an `image_shards` artefact of one or more shards."""

    def make(store: Store, *, classes: list[str] | None = CLASSES, count: int = 1) -> Manifest:
        numbers = np.random.default_rng(0)
        images = numbers.integers(0, 256, (IMAGES, 1, 16, 16), dtype=np.uint8)

        def build(work: Build) -> None:
            samples = [
                (f"{index:06d}", encode_png(image), index % 3 if classes else None)
                for index, image in enumerate(images)
            ]
            names, each = [f"train-{number:06d}.tar" for number in range(count)], IMAGES // count
            for number, name in enumerate(names):
                write_tar(work.folder / name, samples[number * each : (number + 1) * each])
            work.details = {
                "splits": {
                    "train": {
                        "images": IMAGES,
                        "shards": names,
                        "images_per_shard": [each] * count,
                    }
                },
                "classes": classes,
                "image_size": 16,
                "channels": 1,
            }

        crop = "resize_then_crop"
        config = {
            "image_size": 16,
            "channels": 1,
            "crop": crop,
            "images": IMAGES,
            "classes": classes,
            "shards": count,
        }
        return store.produce("image_shards", "tiny", config=config, inputs={}, code_version="1", build=build)

    return make


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")
