"""Read image shards: into memory, all images or some, or one image after another in bounded memory."""

import collections
import contextlib
import functools
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from gan_core.data.decoded import DecodedShards
from gan_core.data.decoding import DecoderPool, decode_into, decoders_of_this_process
from gan_core.data.pixels import decode_png
from gan_core.data.shard_manifest import image_shape, shard_format, split_of
from gan_core.errors import StoreError
from gan_core.progress import Progress
from gan_core.store import Manifest, Store

logger = logging.getLogger("gan_core")
# Below this, starting processes costs more than it saves.
WORTH_PROCESSES = 10_000
# Splits of at most so many bytes are kept decoded, for the next process that reads them.
KEPT_BYTES = 2**31
# What `iterate_images` may hold of images that are decoded ahead.
AHEAD_BYTES = 2**28
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


@dataclass(frozen=True)
class ShardPart:
    """Some images of a shard: those at `rows`, ascending, None for all; `place` is where they stand among
    the images that were asked for."""

    name: str
    rows: np.ndarray | None
    place: slice


class ShardFiles:
    """The shards of a split as files of this machine; each is verified (sha256) once, when it is first read.

    Raises `StoreError` for a split that is not there.
    """

    def __init__(self, store: Store, shards: Manifest, split: str):
        described = split_of(shards, split)
        self.store, self.shards = store, shards
        self.names: list[str] = described["shards"]
        self.first_images = np.cumsum([0, *described["images_per_shard"]])
        self.format = shard_format(shards)
        self._locks = {name: threading.Lock() for name in self.names}
        self._verified: set[str] = set()

    def locate(self, name: str) -> Path:
        """A shard's local path, downloaded where the store is remote. Any thread may call it.

        Raises `StoreError` where it is missing or does not match its manifest.
        """
        with self._locks[name]:
            path = self.store.local(self.shards, name, verify=name not in self._verified)
            self._verified.add(name)
        return path

    def sha256(self, name: str) -> str:
        """Of a shard, as its manifest says."""
        return self.shards.files[name].sha256

    def parts(self, numbers: np.ndarray) -> list[ShardPart]:
        """Where the images of these ascending numbers are: int64 (n,), counted over all shards."""
        parts = []
        places = np.searchsorted(numbers, self.first_images).tolist()
        for shard in np.flatnonzero(np.diff(places)).tolist():
            begin, end = places[shard : shard + 2]
            first, after = self.first_images[shard : shard + 2].tolist()
            rows = None if end - begin == after - first else numbers[begin:end] - first
            parts.append(ShardPart(self.names[shard], rows, slice(begin, end)))
        return parts


def load_resident(
    store: Store,
    shards: Manifest,
    split: str,
    *,
    numbers: np.ndarray | None = None,
    workers: int | None = None,
    emit: Callable[[str], None] = logger.info,
) -> ResidentImages:
    """Decode the images of a split, in order, into one tensor, in `workers` processes.

    `numbers`: which images, ascending int64, counted over all shards; None: all. Shards that have none of
    them are not read. `workers` None: as many as `decoders_of_this_process` says.

    The shards of a split of 10,000 images to 2 GB are kept decoded in the store's cache, and read from there
    the next time.

    Raises `StoreError` for a split that is not there, for images that do not fit into the free memory and
    for a shard that does not match its manifest.
    """
    count = split_of(shards, split)["images"] if numbers is None else len(numbers)
    _require_memory(shards, split, count)
    images = torch.empty((count, *image_shape(shards)), dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    files = ShardFiles(store, shards, split)
    parts = files.parts(np.arange(count) if numbers is None else numbers)
    jobs = ((part, images.numpy()[part.place], labels.numpy()[part.place]) for part in parts)
    processes = _processes(count, len(parts), workers)
    kept = _kept(store, shards, split)
    if kept:
        jobs = [job for job in jobs if not kept.read(files.sha256(job[0].name), job[0].rows, *job[1:])]
    progress = Progress(f"reading {shards.partition} {split}", count, emit=emit)
    for part, pixels, their_labels in _decode_in_order(files, jobs, processes):
        if kept and part.rows is None:
            kept.write(files.sha256(part.name), pixels, their_labels)
        progress.update(part.place.stop)
    classes = shards.details["classes"]
    return ResidentImages(images, labels if classes else None, classes)


def iterate_images(
    store: Store, shards: Manifest, split: str, *, workers: int | None = None
) -> Iterator[tuple[str, np.ndarray, int | None]]:
    """Every image of a split, in order, as (`<shard>:<row>`, uint8 (C, H, W), class index or None).

    They are decoded ahead in `workers` processes (None: as many as `decoders_of_this_process` says), into
    256 MB at most. Raises `StoreError` for a split that is not there and, when it is reached, for a shard
    that does not match its manifest.
    """
    files = ShardFiles(store, shards, split)
    images = int(files.first_images[-1])
    processes = _processes(images, images, workers)
    at_once = max(1, AHEAD_BYTES // ((processes + 2) * math.prod(files.format.shape)))
    jobs = (
        (part, np.empty((size, *files.format.shape), np.uint8), np.empty(size, np.int64))
        for part in _cut(files, at_once)
        if (size := part.place.stop - part.place.start)
    )
    for part, pixels, labels in _decode_in_order(files, jobs, processes):
        first_row = 0 if part.rows is None else int(part.rows[0])
        for index, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            yield f"{part.name}:{first_row + index}", image, label if files.format.classes else None


def _kept(store: Store, shards: Manifest, split: str) -> DecodedShards | None:
    """Where decoded shards of the split are, if they are kept."""
    images = split_of(shards, split)["images"]
    if images < WORTH_PROCESSES or estimate_resident_bytes(shards, images) > KEPT_BYTES:
        return None
    return DecodedShards(store.cache / "decoded", shard_format(shards))


def _cut(files: ShardFiles, at_most: int) -> Iterator[ShardPart]:
    """All images in order, no more than so many of one shard at a time."""
    for first, after in itertools.pairwise(files.first_images.tolist()):
        for start in range(first, after, at_most):
            yield from files.parts(np.arange(start, min(start + at_most, after)))


def _processes(images: int, most: int, workers: int | None) -> int:
    if images < WORTH_PROCESSES:
        return 1
    return min(workers, most) if workers else decoders_of_this_process(most)


Job = tuple[ShardPart, np.ndarray, np.ndarray]


def _decode_in_order(files: ShardFiles, jobs: Iterable[Job], processes: int) -> Iterator[Job]:
    """Decode each part into its pixels and labels; yield it when it is there.

    With one process here, else in that many, of which each has work while the caller has the part before.
    """
    if processes == 1:
        for part, images, labels in jobs:
            decode_into(files.locate(part.name), part.rows, images, labels, files.format)
            yield part, images, labels
        return
    with contextlib.closing(DecoderPool(processes)) as pool:
        waiting: collections.deque[tuple[Job, Future[None]]] = collections.deque()
        for job in jobs:
            waiting.append((job, submit_part(pool, files, *job)))
            if len(waiting) > processes:
                yield _first_of(waiting)
        while waiting:
            yield _first_of(waiting)


def _first_of(waiting: "collections.deque[tuple[Job, Future[None]]]") -> Job:
    job, future = waiting.popleft()
    future.result()
    return job


def submit_part(
    pool: DecoderPool, files: ShardFiles, part: ShardPart, images: np.ndarray, labels: np.ndarray
) -> Future[None]:
    """Let a decoder fill `images` and `labels`, which are those of this part alone."""
    locate = functools.partial(files.locate, part.name)
    return pool.submit(locate, part.rows, images, labels, files.format)


def open_webdataset(store: Store, shards: Manifest, split: str):
    """A split for a training loop of one's own: a `webdataset.WebDataset` of (image, class index), the image
    uint8 (C, H, W) and the index -1 where there are no classes, to shuffle, batch and give to a loader.

    The shards are verified when they are opened. Raises `StoreError` for one that does not match its
    manifest, and for a split that is not there.
    """
    import webdataset

    files = ShardFiles(store, shards, split)
    paths = [files.locate(name).as_posix() for name in files.names]
    return webdataset.WebDataset(paths, shardshuffle=False, empty_check=False).map(_image_and_class)


def _image_and_class(sample: dict) -> tuple[np.ndarray, int]:
    return decode_png(sample["png"]).copy(), int(sample.get("cls", -1))  # torch warns of read-only arrays


def estimate_resident_bytes(shards: Manifest, count: int) -> int:
    """What the tensors of so many images take: a byte per value and eight per label."""
    return count * (math.prod(image_shape(shards)) + (8 if shards.details["classes"] else 0))


def free_memory() -> int:
    """Bytes that this process may still take: the machine's, or its container's where that is less."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(FileNotFoundError, ValueError):  # no control group, or one without a bound
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (CONTROL_GROUP / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(statistics["inactive_file"]))  # a cache that gives way
    return max(free, 0)


def _require_memory(shards: Manifest, split: str, count: int) -> None:
    needed, free = estimate_resident_bytes(shards, count), free_memory()
    if needed > free:
        fits = int(count * free / needed * 0.8)
        raise StoreError(
            f"{count:,} images of the {split} split of {shards.partition} take {needed / 1e9:.1f} GB in "
            f"memory, and {free / 1e9:.1f} GB are free: set the dataset's `limit` to {fits:,} images or "
            "fewer, or use a machine with more memory"
        )
