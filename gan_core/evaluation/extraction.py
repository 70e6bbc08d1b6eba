"""One pass of an extractor over a stream of images, for any number of statistics of any parts at once."""

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import FeatureExtractor
from gan_core.evaluation.metrics.base import Batch, ImageSet, Statistic
from gan_core.numerics import MEASURING
from gan_core.progress import Progress

BATCH_SIZE = 64
# Images that a thread reads at a time, and threads at most: more than these keep no network waiting.
GROUP, MOST_THREADS = 32, 8
HAS_AFFINITY = hasattr(os, "sched_getaffinity")
KeyedImage = tuple[str, np.ndarray, int | None]
T, R = TypeVar("T"), TypeVar("R")


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
    """Extract the features of batches (see `batched`) once; give each part its share.

    Features or logits that are not finite are an `EvaluationError`, and so are features that are the same of
    images that differ: such a network sees nothing, and every distance would be 0.
    """
    start = 0
    sameness = _Sameness()
    for images, labels in batches:
        with MEASURING.applied():
            batch = Batch(images, *extractor.extract(images), labels)
        _require_finite(batch, extractor, start)
        sameness.update(batch)
        for part in parts:
            if part.chosen is None:
                part.accumulator.update(batch)
                continue
            chosen = torch.from_numpy(part.chosen[start : start + len(batch)])
            if chosen.any():
                part.accumulator.update(batch.chosen(chosen))
        start += len(batch)
        progress.update(start)
    if sameness.of_features and not sameness.of_images:
        raise EvaluationError(
            f"the features by {extractor.name} are the same for {start:,} images that differ: its weights "
            f"{extractor.fingerprint[:12]} see nothing; train or fetch them again"
        )


def _require_finite(batch: Batch, extractor: FeatureExtractor, start: int) -> None:
    for what, values in (("features", batch.features), ("logits", batch.logits)):
        if values is not None and not torch.isfinite(values).all():
            bad = (~torch.isfinite(values).all(dim=1)).nonzero().flatten()
            raise EvaluationError(
                f"the {what} by {extractor.name} of {len(bad)} of {len(batch)} images, from image "
                f"{start + int(bad[0]):,} on, are NaN or infinite: look at the images and at its weights "
                f"{extractor.fingerprint[:12]}"
            )


class _Sameness:
    """Whether all images that came were the same, and all features."""

    def __init__(self) -> None:
        self.of_images = self.of_features = True
        self.first: Batch | None = None

    def update(self, batch: Batch) -> None:
        if not self.of_features:
            return  # what there is to find out is known, mostly after the first batch
        self.first = self.first or batch
        self.of_features = bool((batch.features == self.first.features[:1]).all())
        self.of_images = self.of_images and bool((batch.images == self.first.images[:1]).all())


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


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` of each item, in order, in threads that stay a few groups of items ahead of the caller.

    For reading and decoding images: Pillow works without Python's lock. What `work` raises comes at its
    item's turn.
    """
    threads = reading_threads()
    items = iter(items)
    with ThreadPoolExecutor(threads, "reading") as pool:
        waiting: collections.deque[Future[list[R]]] = collections.deque()
        try:
            while group := list(itertools.islice(items, GROUP)):
                waiting.append(pool.submit(_all_of, work, group))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _all_of(work: Callable[[T], R], group: list[T]) -> list[R]:
    return [work(item) for item in group]


def reading_threads() -> int:
    """One for each core that this process may use, at most `MOST_THREADS`."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) if HAS_AFFINITY else os.cpu_count() or 1))


def images_numbered(images: Iterable[KeyedImage], numbers: np.ndarray) -> torch.Tensor:
    """Those of a stream of images, uint8 (n, C, H, W), in the order of `numbers` (n,)."""
    wanted: dict[int, torch.Tensor | None] = {int(number): None for number in numbers}
    for number, (_, image, _) in enumerate(images):
        if number in wanted:
            wanted[number] = torch.from_numpy(image.copy())
    return torch.stack([wanted[int(number)] for number in numbers])


def progress_of(extractor: FeatureExtractor, what: str, count: int, emit: Callable[[str], None]) -> Progress:
    """The progress of an extraction, as it is worded in every log."""
    return Progress(f"{extractor.name} features of {what}", count, emit=emit)


def _shape(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width}x{height} in {channels} channel{'s' if channels > 1 else ''}"
