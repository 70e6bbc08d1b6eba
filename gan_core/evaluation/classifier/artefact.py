"""The asset `classifier`: trained on a dataset's own labels, or, without labels, to
tell by how much an image was rotated (Gidaris et al. 2018, "Unsupervised Representation Learning by
Predicting Image Rotations"). Of stacked digits it is trained on the single digits (see `StackedNetwork`)."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.loading import load_resident
from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier.network import (
    ROTATIONS,
    STACKED,
    ClassifierDescription,
    ClassifierNetwork,
    save_classifier,
)
from gan_core.evaluation.classifier.stacked import StackedNetwork, single_digits
from gan_core.evaluation.classifier.training import LabelledImages, fit, recognised_classes
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE, ClassifierExtractor
from gan_core.store import Build, Manifest, Store

logger = logging.getLogger("gan_core")
# Of a larger split every k-th image is used, so that the rest stays in memory.
RESIDENT_BYTES = 2 * 2**30
# Of so many images of a split, evenly spread, the accuracy is found.
MAX_TESTED = 10_000


def train_classifier(
    store: Store,
    dataset: Dataset,
    shards: Manifest,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Train the dataset's classifier: the asset `classifier`, with `classifier.safetensors`.

    Figures: accuracy_train, accuracy_test (0..1; the latter None without a test split), each of at most
    `MAX_TESTED` images, and seconds. Details: task (`labels`, `rotation` or `stacked`), classes, feature_dim,
    image_size, channels, confusion_test (one row per true class), and mirror_check, what decided whether
    images were mirrored (see `MirrorCheck`; None where there were too few to decide it). Of stacked digits an
    image is recognised where all three are; classes and confusion_test are those of single digits. On a CPU
    the same shards, seed, number of threads and kind of processor give the same bytes.
    """
    description = _describe(dataset, shards)
    if shards.details["splits"]["train"]["images"] < 2:
        raise EvaluationError(f"{dataset.name} has fewer than 2 train images: a classifier needs more")

    def build(work: Build) -> None:
        began = time.monotonic()
        train = _load(store, shards, "train", emit)
        network, check = fit(description, _seen(train, description), dataset.evaluation.seed, emit)
        save_classifier(network, description, work.folder / CLASSIFIER_FILE)
        accuracy, confusion = None, None
        if "test" in shards.details["splits"]:
            accuracy, confusion = _tested(network, description, _load(store, shards, "test", emit))
        work.figures = {
            "accuracy_train": _tested(network, description, train)[0],
            "accuracy_test": accuracy,
            "seconds": round(time.monotonic() - began, 3),
        }
        work.details = {
            "task": description.task,
            "classes": list(description.classes),
            "feature_dim": network.feature_dim * description.channels // description.seen_channels,
            "image_size": description.image_size,
            "channels": description.channels,
            "confusion_test": confusion.tolist() if confusion is not None else None,
            "mirror_check": {**asdict(check), "flips": check.flips} if check is not None else None,
        }

    return steps.classifier(dataset, shards).produce(store, build, force=force, emit=emit)


def load_classifier(store: Store, manifest: Manifest) -> ClassifierExtractor:
    """The extractor of a `classifier` artefact."""
    return ClassifierExtractor(store.local(manifest, CLASSIFIER_FILE))


def _describe(dataset: Dataset, shards: Manifest) -> ClassifierDescription:
    task, classes = steps.classifier_task(dataset), tuple(shards.details["classes"] or ())
    if task == STACKED:
        classes = tuple(sorted(set("".join(classes))))
    if task == "labels" and len(classes) < 2:
        raise EvaluationError(
            f"{dataset.name} has {len(classes)} classes, but a classifier needs 2: set `classes: null` in "
            "its YAML to have one trained on rotations"
        )
    return ClassifierDescription(
        task=task,
        classes=ROTATIONS if task == "rotation" else classes,
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


def _seen(images: LabelledImages, description: ClassifierDescription) -> LabelledImages:
    """What the network is trained on."""
    return single_digits(images, len(description.classes)) if description.task == STACKED else images


def _tested(
    network: ClassifierNetwork, description: ClassifierDescription, split: LabelledImages
) -> tuple[float, torch.Tensor]:
    """The share of images that are recognised, and the confusion of what the network sees."""
    confusion = _confusion(network, description, _seen(split, description))
    if description.task != STACKED:
        return float(confusion.trace() / confusion.sum()), confusion
    true, recognised = recognised_classes(StackedNetwork(network), STACKED, _thinned(split))
    return float((true == recognised).double().mean()), confusion


def _confusion(
    network: ClassifierNetwork, description: ClassifierDescription, split: LabelledImages
) -> torch.Tensor:
    """Counts (true class, recognised class) over a split, int64 (K, K)."""
    k = len(description.classes)
    true, recognised = recognised_classes(network, description.task, _thinned(split))
    return torch.bincount(true * k + recognised, minlength=k * k).reshape(k, k)


def _thinned(split: LabelledImages) -> LabelledImages:
    some = slice(None, None, -(-len(split) // MAX_TESTED))
    return LabelledImages(split.images[some], None if split.labels is None else split.labels[some])
