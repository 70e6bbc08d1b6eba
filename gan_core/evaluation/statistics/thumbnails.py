"""Small copies of some images of a set, and pairs of them, for what compares images two by two."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from gan_core.evaluation.metrics.base import Batch, Gatherer

# The size of the patches that LPIPS was fitted to; of larger images the structure counts, not the detail.
SIDE = 64
# A thousand pairs, each image in one: a mean over them is known to a thirtieth of their spread.
MOST = 2_000


@dataclass(frozen=True)
class Thumbnails:
    """`images` uint8 (n, C, S, S), S at most `SIDE`; `classes` int64 (n,), as the dataset's classifier
    recognises them, or None where nothing tells the dataset's classes."""

    images: torch.Tensor
    classes: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)


class GatheredThumbnails(Gatherer):
    """Of all images, or of `MOST` that the seed chooses; `own_classes`: with classes only where the images'
    labels say that the logits are of the dataset's own. Without, where there are so many classes that hardly
    two images would be of one."""

    def __init__(self, count: int, seed: int, *, own_classes: bool):
        self.own_classes = own_classes
        self.kept = torch.zeros(count, dtype=torch.bool)
        chosen = (
            np.random.RandomState(seed).choice(count, MOST, replace=False) if count > MOST else slice(None)
        )
        self.kept[chosen] = True
        self.images: list[torch.Tensor] = []
        self.classes: list[torch.Tensor | None] = []
        self.seen = 0

    def update(self, batch: Batch) -> None:
        kept = self.kept[self.seen : self.seen + len(batch)]
        self.seen += len(batch)
        named = batch.labels is not None or not self.own_classes
        known = batch.logits is not None and batch.has_few_classes and named
        self.images.append(thumbnails(batch.images[kept]))
        self.classes.append(batch.logits.argmax(dim=1).cpu()[kept] if known else None)

    def finish(self) -> Thumbnails:
        known = all(part is not None for part in self.classes)
        return Thumbnails(torch.cat(self.images), torch.cat(self.classes) if known else None)


def thumbnails(images: torch.Tensor) -> torch.Tensor:
    """uint8 (B, C, H, W), brought by averages to `SIDE` where a side is longer."""
    height, width = images.shape[-2:]
    if max(height, width) <= SIDE or not len(images):
        return images
    small = functional.adaptive_avg_pool2d(images.float(), (min(height, SIDE), min(width, SIDE)))
    return small.round().to(torch.uint8)


def disjoint_pairs(classes: np.ndarray, seed: int) -> np.ndarray:
    """Pairs of images of one class, int64 (p, 2), in a seeded order, each image in one at most.

    `classes` (n,): what is equal belongs together. As no image is in two pairs, what is measured of pairs are
    independent values.
    """
    order = np.random.RandomState(seed).permutation(len(classes))
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for one in np.unique(classes):
        members = order[classes[order] == one]
        pairs.append(members[: len(members) // 2 * 2].reshape(-1, 2))
    return np.concatenate(pairs)
