"""Read image shards: whole into memory for training, or streamed in bounded memory."""

import contextlib
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import psutil
import torch
import webdataset

from gan_core.data.decoding import DecoderPool, decode_into
from gan_core.data.pixels import decode_png
from gan_core.errors import StoreError
from gan_core.progress import Progress
from gan_core.store import Manifest, Store

logger = logging.getLogger("gan_core")
# Below this, starting processes costs more than it saves.
WORTH_PROCESSES = 10_000
# Version 2, which Kubernetes and Docker mount here; version 1 is not looked at.
CONTROL_GROUP = Path("/sys/fs/cgroup")


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
    count, classes = split_of(shards, split)["images"], shards.details["classes"]
    _require_memory(shards, split)
    images = torch.empty((count, *image_shape(shards)), dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    progress = Progress(f"reading {shards.partition} {split}", count, emit=emit)
    for done in _decode_shards(store, shards, split, images.numpy(), labels.numpy(), workers):
        progress.update(done)
    return ResidentImages(images, labels if classes else None, classes)


def _decode_shards(
    store: Store, shards: Manifest, split: str, images: np.ndarray, labels: np.ndarray, workers: int | None
) -> Iterator[int]:
    """Fill `images` and `labels` from all shards; yield after each shard how many images are there."""
    described = split_of(shards, split)
    ends = list(itertools.accumulate(described["images_per_shard"]))
    parts = [
        (functools.partial(store.local, shards, name), slice(end - count, end))
        for name, count, end in zip(described["shards"], described["images_per_shard"], ends, strict=True)
    ]
    if len(images) < WORTH_PROCESSES or workers == 1:
        for locate, part in parts:
            decode_into(locate(), None, images[part], labels[part])
            yield part.stop
        return
    with contextlib.closing(DecoderPool(min(workers or joblib.cpu_count(), len(parts)))) as pool:
        futures = [pool.submit(locate, None, images[part], labels[part]) for locate, part in parts]
        for future, (_, part) in zip(futures, parts, strict=True):
            future.result()
            yield part.stop


def iterate_images(
    store: Store, shards: Manifest, split: str
) -> Iterator[tuple[str, np.ndarray, int | None]]:
    """Stream a split in shard order as (key, uint8 (C, H, W), class index or None), one image in memory.

    Raises `StoreError` for a split that is not there and for a shard that does not match its manifest.
    """
    for name in split_of(shards, split)["shards"]:
        path = store.local(shards, name)
        for sample in webdataset.WebDataset(path.as_posix(), shardshuffle=False):
            label = int(sample["cls"]) if "cls" in sample else None
            yield sample["__key__"], decode_png(sample["png"]), label


def estimate_resident_bytes(shards: Manifest, split: str) -> int:
    """What the tensors of `load_resident` take: a byte a value and eight a label."""
    count = split_of(shards, split)["images"]
    return count * (math.prod(image_shape(shards)) + (8 if shards.details["classes"] else 0))


def image_shape(shards: Manifest) -> tuple[int, int, int]:
    """(C, H, W) of every image."""
    size = shards.details["image_size"]
    return shards.details["channels"], size, size


def free_memory() -> int:
    """Bytes that this process may still take: the machine's, or its container's where that is less."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(FileNotFoundError, ValueError):  # no control group, or one without a bound
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (CONTROL_GROUP / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(statistics["inactive_file"]))  # a cache that gives way
    return max(free, 0)


def _require_memory(shards: Manifest, split: str) -> None:
    needed, free = estimate_resident_bytes(shards, split), free_memory()
    if needed > free:
        fits = int(split_of(shards, split)["images"] * free / needed * 0.8)
        raise StoreError(
            f"the {split} split of {shards.partition} takes {needed / 1e9:.1f} GB in memory, and "
            f"{free / 1e9:.1f} GB are free: set the dataset's `limit` to {fits:,} images or fewer, or use "
            "a machine with more memory"
        )


def split_of(shards: Manifest, split: str) -> dict:
    """What the manifest says of a split: `images`, `shards`, `images_per_shard`, `classes`.

    Raises `StoreError` for one that is not there.
    """
    splits = shards.details["splits"]
    if split not in splits:
        raise StoreError(
            f"the shards of {shards.partition} have no split `{split}` (they have: {', '.join(splits)}): "
            "add it to the dataset's `splits` and materialise raw_images and image_shards again"
        )
    return splits[split]
