"""One pass of an extractor over a stream of images, for any number of statistics at once."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.features import FeatureExtractor
from gan_core.evaluation.metrics import Accumulator
from gan_core.progress import Progress

BATCH_SIZE = 64
KeyedImage = tuple[str, np.ndarray, int | None]


@dataclass(frozen=True)
class Part:
    """Which images of a stream an accumulator gets: `chosen` (N,) bool, all if None."""

    accumulator: Accumulator
    chosen: np.ndarray | None = None


def extract_into(
    parts: list[Part],
    extractor: FeatureExtractor,
    images: Iterable[KeyedImage],
    progress: Progress,
    *,
    labelled: bool = False,
) -> None:
    """Extract the features of (key, uint8 (C, H, W), label or None) once; give each part its share.

    `labelled`: whether the labels are of the extractor's classes, so that the recognised ones are counted.
    """
    start = 0
    for batch, labels in batched(images):
        labels = labels if labelled else None
        features, logits = extractor.extract(batch)
        for part in parts:
            if part.chosen is None:
                part.accumulator.update(features, logits, labels)
                continue
            chosen = torch.from_numpy(part.chosen[start : start + len(batch)])
            if chosen.any():
                here = chosen.to(features.device)
                part.accumulator.update(
                    features[here],
                    None if logits is None else logits[here],
                    None if labels is None else labels[chosen],
                )
        start += len(batch)
        progress.update(start)


def batched(
    images: Iterable[KeyedImage], size: int = BATCH_SIZE
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Batches uint8 (B, C, H, W) with int64 labels (B,), or None where an image of the batch has none.

    Images of different shapes in one stream are an `EvaluationError` that names two of them.
    """
    images = iter(images)
    first: tuple[str, tuple[int, ...]] | None = None
    while group := list(itertools.islice(images, size)):
        first = first or (group[0][0], group[0][1].shape)
        for key, image, _ in group:
            if image.shape != first[1]:
                raise EvaluationError(
                    f"image {key} is {_shape(image.shape)}, but {first[0]} is {_shape(first[1])}: "
                    "bring all images to one size (`image_size`)"
                )
        labels = [label for _, _, label in group]
        known = None if any(label is None for label in labels) else torch.tensor(labels, dtype=torch.int64)
        yield torch.from_numpy(np.stack([image for _, image, _ in group])), known


def progress_of(extractor: FeatureExtractor, what: str, count: int, emit: Callable[[str], None]) -> Progress:
    """The progress of an extraction, as it is worded in every log."""
    return Progress(f"{extractor.name} features of {what}", count, emit=emit)


def _shape(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width}x{height} in {channels} channel{'s' if channels > 1 else ''}"
