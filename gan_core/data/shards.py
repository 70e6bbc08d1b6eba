"""The step `image_shards`: a dataset's images as squares of one size, in WebDataset tars."""

import io
import itertools
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.parallel import map_in_processes
from gan_core.data.pixels import decode_png, encode_png, to_square
from gan_core.data.raw import InventoryRow, read_inventory, reopen_sources, source_of
from gan_core.data.sources import Entry, Source
from gan_core.data.tars import largest_sample_bytes, read_tar, write_tar
from gan_core.data.verification import ShardReport, verify_image_shards
from gan_core.errors import ConfigError, SourceError
from gan_core.progress import Progress
from gan_core.store import Build, Manifest, Store

__all__ = [
    "ShardReport",
    "encode_png",
    "preview",
    "verify_image_shards",
    "write_image_shards",
    "write_tar",
]
logger = logging.getLogger("gan_core")
IMAGES_PER_SHARD = 5_000
TAR_END_BYTES = 10_240  # a tar ends with zeros up to a multiple of this
NAMED_UNDECODABLE = 100
PREVIEW_BYTES = 60_000


@dataclass
class ShardTask:
    """What a process needs to write one shard: a fixed range of a split's inventory."""

    source: Source
    rows: list[InventoryRow]
    start: int
    classes: dict[str, int]
    path: Path
    image_size: int
    channels: int
    crop: str


@dataclass
class PackedShard:
    """What became of a task: images by class name (None: unlabelled), and (key, reason) of those left out."""

    path: Path
    counts: Counter = field(default_factory=Counter)
    undecodable: list[tuple[str, str]] = field(default_factory=list)


def write_image_shards(
    store: Store,
    dataset: Dataset,
    raw: Manifest,
    *,
    workers: int | None = None,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Decode, crop and resize every image of `raw`; write `train-000000.tar` and so on, lossless.

    Each sample is `<key>.png` and, where there are classes, `<key>.cls` with the index as text. The files
    are the same bytes for the same images, whatever the number of `workers` (processes; None: one a core).
    An image that does not decode is left out, counted and named in the manifest.

    Raises `ConfigError` if one image is larger than a shard may be, `SourceError` if the source is not what
    `raw` found or if no image of a split decodes.
    """

    def build(work: Build) -> None:
        began = time.monotonic()
        tasks = _plan(store, dataset, raw, work.folder, emit)
        total = sum(len(task.rows) for task in tasks)
        progress = Progress(f"writing the shards of {dataset.name}", total, emit=emit)
        packed = []
        for task, shard in zip(tasks, map_in_processes(pack_shard, tasks, workers), strict=True):
            packed.append(shard)
            progress.advance(len(task.rows))
        _describe(work, dataset, raw, packed, time.monotonic() - began, emit)

    return steps.image_shards(dataset, raw).produce(store, build, force=force)


def pack_shard(task: ShardTask) -> PackedShard:
    """Write one shard; nothing of it depends on other shards or on the process."""
    packed = PackedShard(task.path)
    write_tar(task.path, _samples(task, packed))
    return packed


def preview(store: Store, shards: Manifest, count: int = 64) -> bytes:
    """The first `count` training images, which are taken in turn from all classes, as a PNG of 60 KB at most.

    Images are shown smaller where they would take more.
    """
    samples = itertools.chain.from_iterable(
        read_tar(store.local(shards, name)) for name in shards.details["splits"]["train"]["shards"]
    )
    tiles = [decode_png(png).transpose(1, 2, 0) for _, png, _ in itertools.islice(samples, count)]
    columns = math.ceil(math.sqrt(len(tiles)))
    size, channels = shards.details["image_size"], shards.details["channels"]
    sheet = np.full((math.ceil(len(tiles) / columns) * size, columns * size, channels), 255, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * size, index % columns * size
        sheet[top : top + size, left : left + size] = tile
    return _png_within(Image.fromarray(sheet[..., 0] if channels == 1 else sheet), PREVIEW_BYTES)


def _plan(
    store: Store, dataset: Dataset, raw: Manifest, folder: Path, emit: Callable[[str], None]
) -> list[ShardTask]:
    """The tasks of all shards, split by split."""
    per_shard = _images_per_shard(dataset)
    classes = {name: index for index, name in enumerate(raw.details["classes"])}
    sources = reopen_sources(store, dataset, raw, emit)
    tasks = []
    for split, group in itertools.groupby(read_inventory(store, raw), key=lambda row: row.split):
        rows = list(group)
        for number, start in enumerate(range(0, len(rows), per_shard)):
            tasks.append(
                ShardTask(
                    source=source_of(split, sources),
                    rows=rows[start : start + per_shard],
                    start=start,
                    classes=classes,
                    path=folder / f"{split}-{number:06d}.tar",
                    image_size=dataset.image_size,
                    channels=dataset.channels,
                    crop=dataset.crop,
                )
            )
    return tasks


def _images_per_shard(dataset: Dataset) -> int:
    """As many images as surely fit, decided before any is seen: shards are written in any order."""
    largest = largest_sample_bytes(dataset.image_size, dataset.channels, dataset.labelled)
    fit = (dataset.max_shard_mb * 10**6 - TAR_END_BYTES) // largest
    if fit < 1:
        raise ConfigError(
            f"dataset `{dataset.name}`: max_shard_mb is {dataset.max_shard_mb}, but one image of "
            f"{dataset.image_size} pixels can take {largest:,} bytes: raise max_shard_mb"
        )
    return min(IMAGES_PER_SHARD, fit)


def _samples(task: ShardTask, packed: PackedShard) -> Iterator[tuple[str, bytes, int | None]]:
    for index, row in enumerate(task.rows, start=task.start):
        content = _read_unchanged(task.source, row)
        try:
            image = task.source.decode(content)
            square = to_square(image, task.image_size, task.channels, task.crop)
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes Pillow raise almost anything; it is named below
            packed.undecodable.append((row.key, f"{type(error).__name__}: {error}"))
            continue
        packed.counts[row.class_name] += 1
        yield sample_key(index, row.key), encode_png(square), task.classes.get(row.class_name)


def sample_key(index: int, source_key: str) -> str:
    """A key that is unique in its split and safe in WebDataset, where a dot ends a key."""
    stem = source_key.rpartition(".")[0] or source_key
    return f"{index:08d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', stem)[-64:]}"


def _read_unchanged(source: Source, row: InventoryRow) -> bytes:
    """An image's bytes; raises `SourceError` unless they are those of the inventory."""
    content = source.read(Entry(row.key, row.class_name))
    if sha256(content).hexdigest() != row.sha256:
        raise SourceError(
            f"{source.location}: `{row.key}` has changed since raw_images was materialised: "
            "materialise raw_images again"
        )
    return content


def _describe(
    work: Build,
    dataset: Dataset,
    raw: Manifest,
    packed: list[PackedShard],
    seconds: float,
    emit: Callable[[str], None],
) -> None:
    """Drop empty shards, number the others without gaps, and fill in figures and details."""
    undecodable = [
        {"split": _split_of(shard), "key": key, "reason": reason}
        for shard in packed
        for key, reason in shard.undecodable
    ]
    splits = {}
    for split, group in itertools.groupby(packed, key=_split_of):
        shards = list(group)
        counts = sum((shard.counts for shard in shards), Counter())
        if not counts:
            key, reason = shards[0].undecodable[0]
            raise SourceError(
                f"no image of the {split} split of `{dataset.name}` could be decoded "
                f"({raw.details['splits'][split]['location']}); the first is `{key}`: {reason}. "
                "Check the source"
            )
        kept = _renumber(shards, split)
        splits[split] = {
            "images": counts.total(),
            "classes": {name: counts[name] for name in raw.details["classes"]},
            "shards": [shard.path.name for shard in kept],
            "images_per_shard": [shard.counts.total() for shard in kept],
        }
        work.figures[f"images_{split}"] = counts.total()
    if undecodable:
        first = undecodable[0]
        emit(
            f"{dataset.name}: {len(undecodable):,} images do not decode and are left out, the first is "
            f"`{first['key']}`: {first['reason']}"
        )
    images = sum(split["images"] for split in splits.values())
    work.figures |= {
        "undecodable": len(undecodable),
        "bytes": sum(path.stat().st_size for path in work.folder.iterdir()),
        "shards": sum(len(split["shards"]) for split in splits.values()),
        "images_per_second": round(images / max(seconds, 1e-9), 1),
    }
    work.details = {
        "splits": splits,
        "classes": raw.details["classes"],
        "image_size": dataset.image_size,
        "channels": dataset.channels,
        "undecodable": undecodable[:NAMED_UNDECODABLE],
    }


def _renumber(shards: list[PackedShard], split: str) -> list[PackedShard]:
    kept = []
    for shard in shards:
        if not shard.counts:
            shard.path.unlink()
            continue
        shard.path = shard.path.rename(shard.path.with_name(f"{split}-{len(kept):06d}.tar"))
        kept.append(shard)
    return kept


def _split_of(shard: PackedShard) -> str:
    return shard.path.name.partition("-")[0]


def _png_within(image: Image.Image, limit: int) -> bytes:
    """The image as a PNG of at most `limit` bytes, made smaller as far as needed."""
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= limit:
            return buffer.getvalue()
        scale = 0.95 * math.sqrt(limit / buffer.tell())
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC)
