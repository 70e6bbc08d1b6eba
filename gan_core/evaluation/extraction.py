"""One pass of an extractor over a stream of images, for any number of statistics of any parts at once."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import FeatureExtractor
from gan_core.evaluation.metrics.base import Batch, ImageSet, Statistic
from gan_core.progress import Progress

BATCH_SIZE = 64
KeyedImage = tuple[str, np.ndarray, int | None]


class Accumulator:
    """Gathers these statistics of `count` images in one pass over them.

    `classes`: whether the logits are of classes; `labels`: whether the labels are of the extractor's classes.
    A statistic that needs what there is not is left out. `seed` is for those that choose among the images.
    """

    def __init__(
        self,
        statistics: Iterable[Statistic],
        count: int,
        *,
        classes: bool = False,
        labels: bool = False,
        seed: int = 0,
    ):
        there = {"features": True, "classes": classes, "labels": classes and labels}
        self.count, self.seen = count, 0
        self.gatherers = {
            item.name: item.gather(count, seed) for item in statistics if item.gather and there[item.needs]
        }

    def update(self, batch: Batch) -> None:
        """Add the next images; more than were announced are an `EvaluationError`."""
        if self.seen + len(batch) > self.count:
            raise EvaluationError(f"more than the {self.count:,} images that were announced: read them again")
        for gatherer in self.gatherers.values():
            gatherer.update(batch)
        self.seen += len(batch)

    def finish(self) -> ImageSet:
        """What was gathered; an `EvaluationError` if fewer images came than were announced."""
        if self.seen != self.count:
            raise EvaluationError(f"{self.seen:,} images came of the {self.count:,} that were announced")
        return ImageSet(self.count, {name: gatherer.finish() for name, gatherer in self.gatherers.items()})


@dataclass(frozen=True)
class Part:
    """Which images of a stream an accumulator gets: `chosen` (N,) bool, all if None."""

    accumulator: Accumulator
    chosen: np.ndarray | None = None


def extract_into(
    parts: list[Part],
    extractor: FeatureExtractor,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor | None]],
    progress: Progress,
) -> None:
    """Extract the features of batches (see `batched`) once; give each part its share."""
    start = 0
    for images, labels in batches:
        batch = Batch(images, *extractor.extract(images), labels)
        for part in parts:
            if part.chosen is None:
                part.accumulator.update(batch)
                continue
            chosen = torch.from_numpy(part.chosen[start : start + len(batch)])
            if chosen.any():
                part.accumulator.update(batch.chosen(chosen))
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
