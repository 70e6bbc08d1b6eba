"""The step `image_shards`: a dataset's images as squares of one size, in WebDataset tars."""

import io
import itertools
import logging
import math
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import PIL
from PIL import Image, features
from pydantic import BaseModel

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.duplicates import kept_rows
from gan_core.data.inventory import InventoryRow
from gan_core.data.parallel import map_on_cluster
from gan_core.data.pixels import decode_png, encode_png, to_square
from gan_core.data.raw import read_unchanged, reopen_sources, source_of
from gan_core.data.sources import Source
from gan_core.data.tars import largest_sample_bytes, read_tar, write_tar
from gan_core.errors import ConfigError, SourceError, StoreError
from gan_core.progress import Progress
from gan_core.remedies import how_to_make
from gan_core.store import Build, FileEntry, Manifest, Store, sha256_of

logger = logging.getLogger("gan_core")
IMAGES_PER_SHARD = 5_000
TAR_END_BYTES = 10_240  # a tar ends with zeros up to a multiple of this
NAMED_UNDECODABLE = 100
COMMON_SIZES = 3  # of the original images, that a manifest names
PREVIEW_BYTES = 60_000
FOLDER = "shards-"  # begins the name of an attempt's folder
RECORD = ".json"  # ends the name of the record of a shard that is finished


class Shard(NamedTuple):
    """A place in the plan: the `number`-th shard of a split holds `images` of its images from `start` on."""

    split: str
    number: int
    start: int
    images: int

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:06d}.tar"


class PackedShard(BaseModel):
    """What became of a shard; also the record that it is finished, as JSON beside it.

    `counts` are the images in the tar by class name (None: unlabelled), as pairs; `named` the first of the
    `undecodable` images that were left out, as (key, reason). `original_sizes`: how many images were so wide
    and so high, as (width, height, number). Without an image there is no tar.
    """

    shard: Shard
    counts: list[tuple[str | None, int]] = []
    undecodable: int = 0
    named: list[tuple[str, str]] = []
    original_sizes: list[tuple[int, int, int]] = []
    size: int = 0
    sha256: str = ""

    @property
    def images(self) -> int:
        return sum(count for _, count in self.counts)


@dataclass
class ShardTask:
    """What a process needs to make one shard, on this machine or another."""

    shard: Shard
    rows: list[InventoryRow]
    source: Source
    store: Store
    folder: str
    libraries: str
    classes: dict[str, int]
    image_size: int
    channels: int
    crop: str


def write_image_shards(
    store: Store,
    dataset: Dataset,
    raw: Manifest,
    duplicates: Manifest | None = None,
    *,
    workers: int | None = None,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Decode, crop and resize every image of `raw`; write `train-000000.tar` and so on, lossless.

    Each sample is `<key>.png` and, where there are classes, `<key>.cls` with the index as text. The files
    are the same bytes for the same images, whatever the number of `workers` (processes; None: one a core)
    and also on the Dask cluster that `GAN_DASK` names. An image that does not decode is left out, counted and
    named in the manifest; where none of a shard decodes, its name is left out.

    `duplicates` says which train images are left out where the dataset asks for it (`deduplicate.remove`);
    else it does not count.

    A shard goes into the store when it is finished. After a run that was killed, only the others are made.

    Raises `ConfigError` if one image is larger than a shard may be, `SourceError` if the source is not what
    `raw` found or if no image of a split decodes.
    """
    step = steps.image_shards(dataset, raw, duplicates)
    without = step.inputs.get("duplicates")
    home = f"{step.asset}/{step.partition}/{step.fingerprint}"
    folders: list[str] = []

    def build(work: Build) -> None:
        began = time.monotonic()
        folders.append(_next_folder(work.replaces))
        packed, made = _pack_all(store, dataset, raw, without, f"{home}/{folders[0]}", workers, emit)
        work.files = _files(packed, folders[0])
        _describe(work, dataset, raw, packed, emit)
        if without is not None:
            work.figures["duplicates_left_out"] = without.figures["duplicates"]
        work.figures["images_per_second"] = round(made / max(time.monotonic() - began, 1e-9), 1)
        _check_there(store, dataset, packed, f"{home}/{folders[0]}")

    manifest = step.produce(store, build, force=force, emit=emit)
    if folders:
        _tidy(store, manifest, home, folders[0])
    return manifest


def pack_shard(task: ShardTask) -> PackedShard:
    """Make one shard and put it into the store; nothing of it depends on other shards or on the process."""
    if (here := _libraries()) != task.libraries:
        raise ConfigError(
            f"{socket.gethostname()} has {here}, the process that it works for {task.libraries}: other "
            "versions make other bytes; install the same ones on all machines"
        )
    packed = PackedShard(shard=task.shard)
    counts: Counter = Counter()
    sizes: Counter = Counter()
    with task.store.writing(f"{task.folder}/{task.shard.name}") as path:
        if write_tar(path, _samples(task, packed, counts, sizes)):
            packed.size, packed.sha256 = path.stat().st_size, sha256_of(path)
        else:
            path.unlink()
    packed.counts = sorted(counts.items(), key=str)
    packed.original_sizes = sorted((*size, number) for size, number in sizes.items())
    record = f"{task.folder}/{task.shard.name}{RECORD}"
    task.store.write_atomically(record, packed.model_dump_json().encode())
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


def _pack_all(
    store: Store,
    dataset: Dataset,
    raw: Manifest,
    without: Manifest | None,
    folder: str,
    workers: int | None,
    emit: Callable[[str], None],
) -> tuple[list[PackedShard], int]:
    """Make the shards that are not in `folder` yet; return all, in order, and how many images are new."""
    plan = _plan(dataset, _images(raw, without))
    finished = _finished(store, folder, plan)
    total = sum(shard.images for shard in plan)
    progress = Progress(f"writing the shards of {dataset.name}", total, emit=emit)
    if finished:
        progress.skip(sum(shard.images for shard in finished))
        emit(
            f"{dataset.name}: {len(finished):,} of {len(plan):,} shards are there from a run that was cut "
            "off; making the others"
        )
    missing = [shard for shard in plan if shard not in finished]
    tasks = _tasks(store, dataset, raw, without, folder, missing, emit)
    made = 0
    for packed in map_on_cluster(pack_shard, tasks, workers):
        _check_there(store, dataset, [packed], folder)  # at once, should a worker write elsewhere
        finished[packed.shard] = packed
        made += packed.shard.images
        progress.advance(packed.shard.images)
    return [finished[shard] for shard in plan], made


def _images(raw: Manifest, without: Manifest | None) -> dict[str, int]:
    """How many images each split has."""
    if without is not None:
        return without.details["kept_images"]
    return {split: found["images"] for split, found in raw.details["splits"].items()}


def _plan(dataset: Dataset, images: dict[str, int]) -> list[Shard]:
    """All shards, split by split."""
    size = _images_per_shard(dataset)
    return [
        Shard(split, number, start, min(size, count - start))
        for split, count in images.items()
        for number, start in enumerate(range(0, count, size))
    ]


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


def _tasks(
    store: Store,
    dataset: Dataset,
    raw: Manifest,
    without: Manifest | None,
    folder: str,
    missing: list[Shard],
    emit: Callable[[str], None],
) -> Iterator[ShardTask]:
    """The tasks of the missing shards, in order, each with its rows of the inventory."""
    sources = reopen_sources(store, dataset, raw, emit)
    classes = {name: index for index, name in enumerate(raw.details["classes"])}
    wanted = iter(missing)
    shard = next(wanted, None)
    for split, rows in itertools.groupby(kept_rows(store, raw, without), key=lambda row: row.split):
        position = 0
        while shard is not None and shard.split == split:
            rows = itertools.islice(rows, shard.start - position, None)
            yield ShardTask(
                shard=shard,
                rows=list(itertools.islice(rows, shard.images)),
                source=source_of(split, sources),
                store=store,
                folder=folder,
                libraries=_libraries(),
                classes=classes,
                image_size=dataset.image_size,
                channels=dataset.channels,
                crop=dataset.crop,
            )
            position = shard.start + shard.images
            shard = next(wanted, None)


def _samples(
    task: ShardTask, packed: PackedShard, counts: Counter, sizes: Counter
) -> Iterator[tuple[str, bytes, int | None]]:
    """The samples of a shard; what is counted and left out is noted on the way."""
    for index, row in enumerate(task.rows, start=task.shard.start):
        content = read_unchanged(task.source, row, task.folder.split("/")[1])
        try:
            image = task.source.decode(content)
            square = to_square(image, task.image_size, task.channels, task.crop)
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes Pillow raise almost anything; it is named below
            packed.undecodable += 1
            if len(packed.named) < NAMED_UNDECODABLE:
                packed.named.append((row.key, f"{type(error).__name__}: {error}"))
            continue
        counts[row.class_name] += 1
        sizes[image.size] += 1
        yield sample_key(index, row.key), encode_png(square), task.classes.get(row.class_name)


def sample_key(index: int, source_key: str) -> str:
    """A key that is unique in its split and safe in WebDataset, where a dot ends a key."""
    stem = source_key.rpartition(".")[0] or source_key
    return f"{index:08d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', stem)[-64:]}"


# -- where the shards lie until the manifest names them


def _next_folder(replaces: Manifest | None) -> str:
    """The folder of this attempt within the artefact: also that of an attempt that was killed.

    Shards that take the place of others get a new one, so that the others stay whole until then; other
    versions of what makes the bytes get another one, so that no artefact is made by two.
    """
    used = {entry.path.partition("/")[0] for entry in replaces.files.values()} if replaces else set()
    number = 1 + max((_attempt_number(name) for name in used), default=-1)
    return f"{FOLDER}{number}-{sha256(_libraries().encode()).hexdigest()[:8]}"


def _attempt_number(name: str) -> int:
    """The number in the name of an attempt's folder; -1 for any other name."""
    found = re.fullmatch(rf"{FOLDER}(\d+)-[0-9a-f]+", name)
    return int(found[1]) if found else -1


@cache
def _libraries() -> str:
    """The versions of what decodes and encodes images: others may make other bytes."""
    codecs = ("jpg", "webp", "zlib", "libtiff", "jpg_2000", "avif")
    versions = {"Pillow": PIL.__version__} | {name: features.version(name) for name in codecs}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _finished(store: Store, folder: str, plan: list[Shard]) -> dict[Shard, PackedShard]:
    """The shards of the plan that a killed attempt has finished, by their records."""
    sizes = store.sizes(folder)
    finished = {}
    for shard in plan:
        if f"{shard.name}{RECORD}" not in sizes:
            continue
        content = store.read_bytes(f"{folder}/{shard.name}{RECORD}")
        try:
            packed = PackedShard.model_validate_json(content or b"")
        except ValueError:  # it is made again
            continue
        if packed.shard == shard and packed.size == sizes.get(shard.name, 0):
            finished[shard] = packed
    return finished


def _check_there(store: Store, dataset: Dataset, packed: list[PackedShard], folder: str) -> None:
    """Raise `StoreError` before a manifest names shards that are not in the store."""
    sizes = store.sizes(folder)
    for one in packed:
        if sizes.get(one.shard.name, 0) != one.size:
            raise StoreError(
                f"{store.address(f'{store.root}/{folder}/{one.shard.name}')} is not there as it was written: "
                "another run has replaced it, or a worker has no access to this store; "
                + how_to_make("image_shards", dataset.name)
            )


def _tidy(store: Store, manifest: Manifest, home: str, folder: str) -> None:
    """Remove the records, and what earlier attempts left."""
    kept = {entry.path for entry in manifest.files.values()}
    store.remove_abandoned(f"{home}/{folder}")
    for name in store.sizes(f"{home}/{folder}"):
        if f"{folder}/{name}" not in kept and not name.startswith("."):
            store.remove(f"{home}/{folder}/{name}")
    for name in store.list_names(home):
        if -1 < _attempt_number(name) <= _attempt_number(folder) and name != folder:
            store.remove(f"{home}/{name}")


# -- what the manifest says


def _files(packed: list[PackedShard], folder: str) -> dict[str, FileEntry]:
    return {
        one.shard.name: FileEntry(path=f"{folder}/{one.shard.name}", size=one.size, sha256=one.sha256)
        for one in packed
        if one.images
    }


def _describe(
    work: Build,
    dataset: Dataset,
    raw: Manifest,
    packed: list[PackedShard],
    emit: Callable[[str], None],
) -> None:
    """Fill in figures and details."""
    splits = {}
    for split, group in itertools.groupby(packed, key=lambda one: one.shard.split):
        shards = list(group)
        counts: Counter = sum((Counter(dict(one.counts)) for one in shards), Counter())
        if not counts:
            key, reason = shards[0].named[0]
            raise SourceError(
                f"no image of the {split} split of `{dataset.name}` could be decoded "
                f"({raw.details['splits'][split]['location']}); the first is `{key}`: {reason}. "
                "Check the source"
            )
        splits[split] = {
            "images": counts.total(),
            "classes": {name: counts[name] for name in raw.details["classes"]},
            "shards": [one.shard.name for one in shards if one.images],
            "images_per_shard": [one.images for one in shards if one.images],
        }
        work.figures[f"images_{split}"] = counts.total()
    work.figures |= {
        "undecodable": sum(one.undecodable for one in packed),
        "bytes": sum(one.size for one in packed),
        "shards": len(work.files),
    }
    work.details = {
        "splits": splits,
        "classes": raw.details["classes"],
        "image_size": dataset.image_size,
        "channels": dataset.channels,
        "undecodable": _undecodable(dataset, packed, emit),
        "original_sizes": _original_sizes(packed),
    }


def _original_sizes(packed: list[PackedShard]) -> dict[str, Any] | None:
    """`smallest` and `largest` (width, height) by area before anything was cropped, and the `most_common`
    ones as (width, height, share of all); None where a killed attempt of an earlier version left some."""
    sizes: Counter = Counter()
    for one in packed:
        sizes.update({(width, height): number for width, height, number in one.original_sizes})
    if sizes.total() != sum(one.images for one in packed):
        return None
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "most_common": [
            [*size, number / sizes.total()]
            for size, number in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:COMMON_SIZES]
        ],
    }


def _undecodable(dataset: Dataset, packed: list[PackedShard], emit: Callable[[str], None]) -> list[dict]:
    """The first images that did not decode, which are told of too."""
    named = [
        {"split": one.shard.split, "key": key, "reason": reason}
        for one in packed
        for key, reason in one.named
    ]
    if named:
        emit(
            f"{dataset.name}: {sum(one.undecodable for one in packed):,} images do not decode and are left "
            f"out, the first is `{named[0]['key']}`: {named[0]['reason']}"
        )
    return named[:NAMED_UNDECODABLE]


def _png_within(image: Image.Image, limit: int) -> bytes:
    """The image as a PNG of at most `limit` bytes, made smaller as far as needed."""
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= limit:
            return buffer.getvalue()
        scale = 0.95 * math.sqrt(limit / buffer.tell())
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC)
