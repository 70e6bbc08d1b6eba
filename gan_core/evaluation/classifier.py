"""The classifier whose features evaluation uses: trained on a dataset's own labels, or, without labels, to
tell by how much an image was rotated (Gidaris et al. 2018, "Unsupervised Representation Learning by
Predicting Image Rotations")."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.loading import load_resident
from gan_core.devices import default_device
from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier_network import (
    ROTATIONS,
    ClassifierDescription,
    ClassifierNetwork,
    save_classifier,
)
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE, FEATURE_DIM, ClassifierExtractor
from gan_core.progress import Progress
from gan_core.steps import CLASSIFIER_TRAINING
from gan_core.store import Build, Manifest, Store

logger = logging.getLogger("gan_core")
# Of a larger split every k-th image is used, so that the rest stays in memory.
RESIDENT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class LabelledImages:
    """`images` uint8 (N, C, S, S) and int64 `labels` (N,), None where the task makes its own."""

    images: torch.Tensor
    labels: torch.Tensor | None


def train_classifier(
    store: Store,
    dataset: Dataset,
    shards: Manifest,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Train the dataset's classifier: the asset `classifier`, with `classifier.safetensors`.

    Figures: accuracy_train, accuracy_test (0..1; the latter None without a test split), seconds. Details:
    task (`labels` or `rotation`), classes, feature_dim, image_size, channels, confusion_test (one row per
    true class). On a CPU the same shards, seed and number of threads give the same bytes.
    """
    description = _describe(dataset, shards)
    if shards.details["splits"]["train"]["images"] < 2:
        raise EvaluationError(f"{dataset.name} has fewer than 2 train images: a classifier needs more")

    def build(work: Build) -> None:
        began = time.monotonic()
        train = _load(store, shards, "train", emit)
        network = _fit(description, train, dataset.evaluation.seed, emit)
        save_classifier(network, description, work.folder / CLASSIFIER_FILE)
        confusion = None
        if "test" in shards.details["splits"]:
            confusion = _confusion(network, description, _load(store, shards, "test", emit))
        work.figures = {
            "accuracy_train": _accuracy(_confusion(network, description, train)),
            "accuracy_test": _accuracy(confusion) if confusion is not None else None,
            "seconds": round(time.monotonic() - began, 3),
        }
        work.details = {
            "task": description.task,
            "classes": list(description.classes),
            "feature_dim": FEATURE_DIM,
            "image_size": description.image_size,
            "channels": description.channels,
            "confusion_test": confusion.tolist() if confusion is not None else None,
        }

    return steps.classifier(dataset, shards).produce(store, build, force=force, emit=emit)


def load_classifier(store: Store, manifest: Manifest) -> ClassifierExtractor:
    """The extractor of a `classifier` artefact."""
    return ClassifierExtractor(store.local(manifest, CLASSIFIER_FILE))


def _describe(dataset: Dataset, shards: Manifest) -> ClassifierDescription:
    classes = tuple(shards.details["classes"] or ())
    task = "labels" if dataset.labelled else "rotation"
    if task == "labels" and len(classes) < 2:
        raise EvaluationError(
            f"{dataset.name} has {len(classes)} classes, but a classifier needs 2: set `classes: null` in "
            "its YAML to have one trained on rotations"
        )
    return ClassifierDescription(
        task=task,
        classes=classes if task == "labels" else ROTATIONS,
        image_size=shards.details["image_size"],
        channels=shards.details["channels"],
    )


def _load(store: Store, shards: Manifest, split: str, emit: Callable[[str], None]) -> LabelledImages:
    """A split in memory: all of it, or every k-th image of one that is larger than `RESIDENT_BYTES`."""
    count = shards.details["splits"][split]["images"]
    image_bytes = shards.details["channels"] * shards.details["image_size"] ** 2
    stride = max(1, -(-count * image_bytes // RESIDENT_BYTES))
    if stride > 1:
        emit(f"classifier: the {split} split is large: every {stride}th of {count:,} images is used")
    resident = load_resident(store, shards, split, numbers=np.arange(0, count, stride), emit=emit)
    return LabelledImages(resident.images, resident.labels)


def _fit(
    description: ClassifierDescription, train: LabelledImages, seed: int, emit: Callable[[str], None]
) -> ClassifierNetwork:
    """Train with AdamW and one cycle of the learning rate (Smith and Topin 2019)."""
    count = len(train.images)
    settings = CLASSIFIER_TRAINING
    total = min(settings["max_epochs"] * count, settings["max_images"])
    batch_size = min(settings["batch_size"], count)
    number_of_steps = max(total // batch_size, 1)
    network = _seeded_network(description, seed)
    rate = settings["learning_rate"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=settings["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=number_of_steps + 1)
    progress = Progress("training the classifier", number_of_steps * batch_size, emit=emit)
    network.train()
    batches = _batches(train, batch_size, seed)
    for _ in range(number_of_steps):
        images, labels = next(batches)
        images, labels = _pose_task(description.task, images, labels)
        loss = F.cross_entropy(network(images)[1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.advance(batch_size)
    return network.eval()


def _seeded_network(description: ClassifierDescription, seed: int) -> ClassifierNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ClassifierNetwork(description.channels, description.image_size, len(description.classes))
    return network.to(default_device(), memory_format=torch.channels_last)


def _batches(train: LabelledImages, batch_size: int, seed: int) -> Iterator[tuple]:
    """Whole batches for ever, each epoch in a new seeded order."""
    generator = torch.Generator().manual_seed(seed)
    device = default_device()
    while True:
        order = torch.randperm(len(train.images), generator=generator)
        for index in order.split(batch_size):
            if len(index) == batch_size:
                labels = None if train.labels is None else train.labels[index].to(device)
                yield train.images[index].to(device), labels


def _pose_task(task: str, images: torch.Tensor, labels: torch.Tensor | None) -> tuple:
    """The images and labels of a batch; for the task `rotation` every image in all four rotations."""
    if task == "labels":
        return images, labels
    rotated = torch.cat([images.rot90(turns, dims=(2, 3)) for turns in range(len(ROTATIONS))])
    return rotated, torch.arange(len(ROTATIONS), device=images.device).repeat_interleave(len(images))


@torch.inference_mode()
def _confusion(
    network: ClassifierNetwork, description: ClassifierDescription, split: LabelledImages
) -> torch.Tensor:
    """Counts (true class, recognised class) over a split, int64 (K, K)."""
    device = default_device()
    k = len(description.classes)
    counts = torch.zeros(k * k, dtype=torch.int64)
    for start in range(0, len(split.images), 256):
        images = split.images[start : start + 256].to(device)
        labels = None if split.labels is None else split.labels[start : start + 256].to(device)
        images, labels = _pose_task(description.task, images, labels)
        pairs = labels * k + network(images)[1].argmax(dim=1)
        counts += torch.bincount(pairs.cpu(), minlength=k * k)
    return counts.reshape(k, k)


def _accuracy(confusion: torch.Tensor) -> float:
    return float(confusion.trace() / confusion.sum())
