"""Small artefacts of the steps before evaluation: shards and samples of synthetic images."""

import io

import numpy as np
import pytest
import torch

from gan_core.config import Dataset, Experiment
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.evaluation.classifier import train_classifier
from gan_core.evaluation.reference import compute_reference_statistics
from gan_core.store import Store

CLASSES = ["left", "right", "top"]
SIZE = 16


def draw(count, *, size=SIZE, channels=1, noise=20, seed=0):
    """Noisy images of three classes by turns: a bright left half, right half, or top half."""
    generator = np.random.RandomState(seed)
    images = generator.normal(60, noise, (count, channels, size, size))
    labels = np.arange(count) % 3
    images[labels == 0, :, :, : size // 2] += 120
    images[labels == 1, :, :, size // 2 :] += 120
    images[labels == 2, :, : size // 2, :] += 120
    return np.clip(images, 0, 255).astype(np.uint8), labels


def write_images(path, images, labels=None, start=0):
    labels = [None] * len(images) if labels is None else [int(label) for label in labels]
    samples = [
        (f"{start + i:08d}", encode_png(image), label)
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    write_tar(path, samples)


@pytest.fixture(scope="session")
def make_dataset():
    def make(labelled=True, splits=("train", "test"), extractors=("classifier",), samples=60, **values):
        return Dataset.model_validate(
            {
                "name": "halves",
                "source": {"kind": "images"},
                "image_size": SIZE,
                "channels": 1,
                "classes": CLASSES if labelled else None,
                "splits": list(splits),
                "evaluation": {"extractors": list(extractors), "samples": samples, **values},
            }
        )

    return make


@pytest.fixture(scope="session")
def make_shards():
    def make(store, dataset, counts=None, **drawing):
        counts = counts or {split: {"train": 240, "test": 90}[split] for split in dataset.splits}

        def build(work):
            splits = {}
            for seed, (split, count) in enumerate(counts.items()):
                images, labels = draw(count, seed=seed, **drawing)
                known = labels if dataset.labelled else None
                half = count // 2
                names = [f"{split}-000000.tar", f"{split}-000001.tar"]
                write_images(work.folder / names[0], images[:half], None if known is None else known[:half])
                rest = None if known is None else known[half:]
                write_images(work.folder / names[1], images[half:], rest, half)
                splits[split] = {
                    "images": count,
                    "classes": {},
                    "shards": names,
                    "images_per_shard": [half, count - half],
                }
            work.details = {
                "splits": splits,
                "classes": CLASSES if dataset.labelled else [],
                "image_size": drawing.get("size", SIZE),
                "channels": drawing.get("channels", 1),
            }

        return store.produce(
            "image_shards",
            dataset.name,
            config={"counts": counts, "labelled": dataset.labelled, "drawing": drawing},
            inputs={},
            code_version="1",
            build=build,
        )

    return make


@pytest.fixture(scope="session")
def make_training():
    """What evaluation reads of a training: its manifest, without weights. `values`: of the experiment."""

    def make(store, name="gan", n_classes=3, **values):
        content = {
            "name": name,
            "dataset": "halves",
            "architecture": {"width": 4},
            "latent": {"size": 6},
            "conditioning": {"name": "acgan" if n_classes else "none"},
            "length": {"images": 100},
            **values,
        }
        experiment = Experiment.model_validate(content)

        def build(work):
            work.details = {"channels": 1, "image_size": SIZE, "n_classes": n_classes}

        config = experiment.training_config()
        return store.produce("trained_gan", name, config=config, inputs={}, code_version="1", build=build)

    return make


@pytest.fixture(scope="session")
def make_samples(make_training):
    """Samples of a GAN: `noise` says how bad. `trained`: its training, None for one that is not known."""

    def make(store, name="gan", count=60, conditional=True, noise=40, classes=CLASSES, trained="new"):
        def build(work):
            images, labels = draw(count, noise=noise, seed=7)
            write_images(work.folder / "samples-000000.tar", images, labels if conditional else None)
            work.details = {
                "conditional": conditional,
                "classes": classes if conditional else [],
                "labels": "data" if conditional else None,
            }

        if trained == "new":
            trained = make_training(store, name, len(classes) if conditional else 0)
        return store.produce(
            "samples",
            name,
            config={"count": count, "conditional": conditional, "noise": noise, "classes": classes},
            inputs={"trained_gan": trained} if trained else {},
            code_version="1",
            build=build,
        )

    return make


class Trained:
    """A store that holds everything up to the reference statistics of the labelled dataset."""

    def __init__(self, folder, make_dataset, make_shards):
        self.store = Store(folder)
        self.dataset = make_dataset()
        self.shards = make_shards(self.store, self.dataset)
        self.classifier = train_classifier(self.store, self.dataset, self.shards)
        self.reference = compute_reference_statistics(self.store, self.dataset, self.shards, self.classifier)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, make_dataset, make_shards):
    return Trained(tmp_path_factory.mktemp("trained"), make_dataset, make_shards)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """Random weights in the file format of torch-fidelity's Inception, scaled to keep activations alive."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    buffer = io.BytesIO()
    original = Inception.load_state_dict
    # The constructor wants a file: give it an empty one and keep the weights that it was built with.
    torch.save({}, buffer)
    empty = path.with_name("empty.pth")
    empty.write_bytes(buffer.getvalue())
    torch.manual_seed(0)
    try:
        Inception.load_state_dict = lambda self, state: None
        network = Inception("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(empty))
    finally:
        Inception.load_state_dict = original
    for name, parameter in network.named_parameters():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    torch.save(network.state_dict(), path)
    return path
