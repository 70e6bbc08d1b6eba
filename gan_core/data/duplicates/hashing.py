"""The perceptual hash of every image, as a training would see it."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from gan_core.config import Dataset
from gan_core.data.inventory import InventoryRow, batches
from gan_core.data.parallel import map_in_processes
from gan_core.data.pixels import to_square
from gan_core.data.raw import read_inventory, read_unchanged, reopen_sources, source_of
from gan_core.data.sources import Source
from gan_core.progress import Progress
from gan_core.store import Manifest, Store

PART = 2_000  # images whose hashes are noted together, for the next run should this one be killed
WORTH_PROCESSES = 5_000  # images below which starting processes costs more than it saves
HASHED = np.dtype([("hash", np.uint64), ("decodes", np.bool_)])


class Square(NamedTuple):
    """What becomes of an image before it is hashed: the keys of the dataset."""

    image_size: int
    channels: int
    crop: str

    @classmethod
    def of(cls, dataset: Dataset) -> "Square":
        return cls(dataset.image_size, dataset.channels, dataset.crop)


@dataclass
class HashTask:
    """Some images of a split, for one process."""

    dataset: str
    rows: list[InventoryRow]
    source: Source
    square: Square


def perceptual_hash(pixels: np.ndarray) -> int:
    """64 bits of uint8 (C, S, S): which of the 8x8 lowest frequencies of the grey image are above their
    median (`imagehash.phash`; Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash
    Functions")."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    bits = imagehash.phash(image).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def hash_images(task: HashTask) -> np.ndarray:
    """`HASHED` (n,) of the task's images; one that does not decode has no hash."""
    hashed = np.zeros(len(task.rows), dtype=HASHED)
    for place, row in enumerate(task.rows):
        content = read_unchanged(task.source, row, task.dataset)
        try:
            pixels = to_square(task.source.decode(content), *task.square)
        except MemoryError:
            raise
        except Exception:  # a damaged file makes Pillow raise almost anything; the shards leave it out
            continue
        hashed[place] = perceptual_hash(pixels), True
    return hashed


def hash_all(
    store: Store, dataset: Dataset, raw: Manifest, notes: str, emit: Callable[[str], None]
) -> np.ndarray:
    """`HASHED` (n,) of all images in the order of the inventory, in one process per core.

    What is done is noted in the folder `notes` of the store, and taken from there by the next run.
    """
    total = sum(split["images"] for split in raw.details["splits"].values())
    progress = Progress(f"hashing the images of {dataset.name}", total, emit=emit)
    known = set(store.list_names(notes))
    numbered = list(enumerate(_parts(store, raw)))
    done: dict[int, np.ndarray] = {}
    for number, size in numbered:
        if f"{number:06d}.npy" in known and (part := _noted(store, notes, number, size)) is not None:
            done[number] = part
            progress.skip(size)
    if done:
        emit(f"{dataset.name}: {progress.done:,} images were hashed by a run that was cut off")
    missing = [number for number, _ in numbered if number not in done]
    workers = None if total - progress.done > WORTH_PROCESSES else 1
    made = map_in_processes(hash_images, _tasks(store, dataset, raw, set(missing), emit), workers)
    for number, part in zip(missing, made, strict=True):
        buffer = io.BytesIO()
        np.save(buffer, part)
        store.write_atomically(f"{notes}/{number:06d}.npy", buffer.getvalue())
        done[number] = part
        progress.advance(len(part))
    return np.concatenate([np.empty(0, HASHED), *(done[number] for number, _ in numbered)])


def _parts(store: Store, raw: Manifest) -> Iterator[int]:
    """How many images each part has: `PART`, fewer at the end of a split."""
    for described in raw.details["splits"].values():
        for start in range(0, described["images"], PART):
            yield min(PART, described["images"] - start)


def _noted(store: Store, notes: str, number: int, size: int) -> np.ndarray | None:
    """A part that was noted; None where that is damaged."""
    try:
        part = np.load(io.BytesIO(store.read_bytes(f"{notes}/{number:06d}.npy") or b""))
    except (ValueError, EOFError, OSError):
        return None
    return part if part.dtype == HASHED and len(part) == size else None


def _tasks(
    store: Store, dataset: Dataset, raw: Manifest, missing: set[int], emit: Callable[[str], None]
) -> Iterator[HashTask]:
    sources = reopen_sources(store, dataset, raw, emit) if missing else {}
    rows = read_inventory(store, raw)
    for number, size in enumerate(_parts(store, raw)):
        part = next(batches(rows, size))
        if number in missing:
            yield HashTask(dataset.name, part, source_of(part[0].split, sources), Square.of(dataset))
