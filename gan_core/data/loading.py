"""Read image shards: whole into memory for training, or streamed in bounded memory."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import psutil
import torch
import webdataset

from gan_core.data.parallel import map_in_processes
from gan_core.data.pixels import decode_png
from gan_core.data.tars import decode_tar
from gan_core.errors import StoreError
from gan_core.progress import Progress
from gan_core.store import Manifest, Store

logger = logging.getLogger("gan_core")
# Below this, starting processes costs more than it saves.
WORTH_PROCESSES = 10_000


@dataclass
class ResidentImages:
    """All images of a split in memory.

    `images`: uint8 (N, C, H, W) in 0..255. `labels`: int64 (N,), an index into `classes`, or None where the
    dataset has no classes (then `classes` is empty).
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    classes: list[str]

    def __len__(self) -> int:
        return len(self.images)


def load_resident(
    store: Store,
    shards: Manifest,
    split: str,
    *,
    workers: int | None = None,
    emit: Callable[[str], None] = logger.info,
) -> ResidentImages:
    """Decode all shards of a split, in order, into one tensor; `workers` processes (None: one a core).

    Raises `StoreError` for a split that is not there, for one that does not fit into the free memory and
    for a shard that does not match its manifest.
    """
    described = _split(shards, split)
    count, size = described["images"], shards.details["image_size"]
    classes = shards.details["classes"]
    _require_memory(shards, split)
    images = torch.empty((count, shards.details["channels"], size, size), dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    paths = [store.local(shards, name) for name in described["shards"]]
    if count < WORTH_PROCESSES:
        workers = 1
    progress = Progress(f"reading {shards.partition} {split}", count, emit=emit)
    start = 0
    for decoded, decoded_labels in map_in_processes(decode_tar, paths, workers):
        stop = start + len(decoded)
        images.numpy()[start:stop] = decoded
        labels.numpy()[start:stop] = decoded_labels
        start = stop
        progress.update(stop)
    return ResidentImages(images, labels if classes else None, classes)


def iterate_images(
    store: Store, shards: Manifest, split: str
) -> Iterator[tuple[str, np.ndarray, int | None]]:
    """Stream a split in shard order as (key, uint8 (C, H, W), class index or None), one image in memory.

    Raises `StoreError` for a split that is not there and for a shard that does not match its manifest.
    """
    for name in _split(shards, split)["shards"]:
        path = store.local(shards, name)
        for sample in webdataset.WebDataset(path.as_posix(), shardshuffle=False):
            label = int(sample["cls"]) if "cls" in sample else None
            yield sample["__key__"], decode_png(sample["png"]), label


def estimate_resident_bytes(shards: Manifest, split: str) -> int:
    """What the tensors of `load_resident` take: a byte a value and eight a label."""
    count = _split(shards, split)["images"]
    values = shards.details["channels"] * shards.details["image_size"] ** 2
    return count * (values + (8 if shards.details["classes"] else 0))


def _require_memory(shards: Manifest, split: str) -> None:
    needed, free = estimate_resident_bytes(shards, split), psutil.virtual_memory().available
    if needed > free:
        fits = int(_split(shards, split)["images"] * free / needed * 0.8)
        raise StoreError(
            f"the {split} split of {shards.partition} takes {needed / 1e9:.1f} GB in memory, and "
            f"{free / 1e9:.1f} GB are free: set the dataset's `limit` to {fits:,} images or fewer, or use "
            "a machine with more memory"
        )


def _split(shards: Manifest, split: str) -> dict:
    splits = shards.details["splits"]
    if split not in splits:
        raise StoreError(
            f"the shards of {shards.partition} have no split `{split}` (they have: {', '.join(splits)}): "
            "add it to the dataset's `splits` and materialise raw_images and image_shards again"
        )
    return splits[split]
