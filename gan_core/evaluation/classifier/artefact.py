"""The asset `classifier`: trained on a dataset's own labels, or, without labels, to
tell by how much an image was rotated (Gidaris et al. 2018, "Unsupervised Representation Learning by
Predicting Image Rotations")."""

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
    ClassifierDescription,
    ClassifierNetwork,
    save_classifier,
)
from gan_core.evaluation.classifier.training import LabelledImages, fit, recognised_classes
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE, FEATURE_DIM, ClassifierExtractor
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
    `MAX_TESTED` images, and seconds. Details: task (`labels` or `rotation`), classes, feature_dim,
    image_size, channels, confusion_test (one row per true class), and mirror_check, what decided whether
    images were mirrored (see `MirrorCheck`; None where there were too few to decide it). On a CPU the same
    shards, seed, number of threads and kind of processor give the same bytes.
    """
    description = _describe(dataset, shards)
    if shards.details["splits"]["train"]["images"] < 2:
        raise EvaluationError(f"{dataset.name} has fewer than 2 train images: a classifier needs more")

    def build(work: Build) -> None:
        began = time.monotonic()
        train = _load(store, shards, "train", emit)
        network, check = fit(description, train, dataset.evaluation.seed, emit)
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
            "mirror_check": {**asdict(check), "flips": check.flips} if check is not None else None,
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


def _confusion(
    network: ClassifierNetwork, description: ClassifierDescription, split: LabelledImages
) -> torch.Tensor:
    """Counts (true class, recognised class) over a split, int64 (K, K)."""
    k = len(description.classes)
    some = slice(None, None, -(-len(split) // MAX_TESTED))
    tested = LabelledImages(split.images[some], None if split.labels is None else split.labels[some])
    true, recognised = recognised_classes(network, description.task, tested)
    return torch.bincount(true * k + recognised, minlength=k * k).reshape(k, k)


def _accuracy(confusion: torch.Tensor) -> float:
    return float(confusion.trace() / confusion.sum())
