"""Datasets that are published as arrays: scikit-learn's digits, CIFAR-10's pickles, MNIST's idx files."""

import gzip
import hashlib
import io
import json
import logging
import pickle
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_core.config import Dataset
from gan_core.data.local_files import make_once
from gan_core.data.sources.base import Entry, Source, interleave
from gan_core.data.sources.file_collections import Files, file_signature
from gan_core.errors import SourceError

logger = logging.getLogger("gan_core")
DIGIT_NAMES = tuple("0123456789")
CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CIFAR10_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# What the pickles of CIFAR-10 need: arrays, and (pickled by Python 2) strings.
SAFE_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
Arrays = tuple[np.ndarray, np.ndarray]


class ArraySource(Source):
    """Images in one array file of records (`image`, `label`), opened as a memory map in every process.

    An image's bytes are its raw pixels: uint8, (H, W) or (H, W, 3).
    """

    def __init__(self, records: Path, location: str, classes: tuple[str, ...], labelled: bool):
        self.records, self.location, self.classes, self.labelled = records, location, classes, labelled

    def entries(self, limit: int | None = None) -> list[Entry]:
        labels = _open_records(str(self.records), *file_signature(self.records))["label"].tolist()
        if not self.labelled:
            return [Entry(f"{index:05d}", None) for index in range(len(labels))][:limit]
        groups: list[list[Entry]] = [[] for _ in self.classes]
        for index, label in enumerate(labels):
            groups[label].append(Entry(f"{index:05d}", self.classes[label]))
        return interleave(groups)[:limit]

    def read(self, entry: Entry) -> bytes:
        records = _open_records(str(self.records), *file_signature(self.records))
        return records["image"][int(entry.key)].tobytes()

    def decode(self, content: bytes) -> Image.Image:
        shape = _open_records(str(self.records), *file_signature(self.records))["image"].shape[1:]
        return Image.fromarray(np.frombuffer(content, dtype=np.uint8).reshape(shape))

    def signature(self) -> Any:
        return [str(self.records), *file_signature(self.records)]


def open_digits(cache: Path, dataset: Dataset, emit: Callable[[str], None] = logger.info) -> ArraySource:
    """scikit-learn's 1,797 digits of 8x8 pixels, its values 0..16 scaled to 0..255."""

    def load() -> Arrays:
        from sklearn.datasets import load_digits  # a second to import, and needed once

        digits = load_digits()
        return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target

    records = _keep(load, cache / "arrays" / "digits.npy", emit)
    return _source(records, "scikit-learn's load_digits", DIGIT_NAMES, dataset)


def open_cifar10(
    files: Files, split: str, cache: Path, dataset: Dataset, emit: Callable[[str], None] = logger.info
) -> ArraySource | None:
    """A split of CIFAR-10's official Python files, wherever they lie; None if these are other files."""
    found = {name.rpartition("/")[2]: name for name in files.names()}
    if not any(batch in found for batches in CIFAR10_BATCHES.values() for batch in batches):
        return None
    wanted = CIFAR10_BATCHES[split]
    _require(wanted, found, files.location)

    def load() -> Arrays:
        batches = [_cifar10_batch(files.read(found[name]), f"{files.location}: {name}") for name in wanted]
        images, labels = zip(*batches, strict=True)
        return np.concatenate(images), np.concatenate(labels)

    records = _keep(load, cache / "arrays" / f"cifar10-{split}-{_version(files)}.npy", emit)
    return _source(records, files.location, CIFAR10_NAMES, dataset)


def open_mnist(
    files: Files, split: str, cache: Path, dataset: Dataset, emit: Callable[[str], None] = logger.info
) -> ArraySource | None:
    """A split of MNIST's official idx files, gzipped or not; None if these are other files."""
    found = {name.rpartition("/")[2].removesuffix(".gz"): name for name in files.names()}
    found = {name.replace(".idx", "-idx"): path for name, path in found.items()}  # some unpackers' spelling
    if not any(name in found for names in MNIST_FILES.values() for name in names):
        return None
    wanted = MNIST_FILES[split]
    _require(wanted, found, files.location)

    def load() -> Arrays:
        images, labels = (_idx(files.read(found[name]), f"{files.location}: {name}") for name in wanted)
        if len(images) != len(labels) or labels.max(initial=0) > 9:
            raise SourceError(
                f"{files.location}: {len(images):,} images and {len(labels):,} labels up to "
                f"{labels.max(initial=0)} do not belong together: download the files again"
            )
        return images, labels

    records = _keep(load, cache / "arrays" / f"mnist-{split}-{_version(files)}.npy", emit)
    return _source(records, files.location, DIGIT_NAMES, dataset)


class SafeUnpickler(pickle.Unpickler):
    """Reads arrays, strings, lists and dictionaries; refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in SAFE_GLOBALS:
            raise pickle.UnpicklingError(f"it wants to load {module}.{name}, which CIFAR-10 does not need")
        return super().find_class(module, name)


def _cifar10_batch(content: bytes, where: str) -> Arrays:
    """Images (N, 32, 32, 3) and labels (N,) of a batch; see the dataset's page for the format."""
    try:
        batch = SafeUnpickler(io.BytesIO(content), encoding="bytes").load()
        images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch[b"labels"], dtype=np.int64)
        if len(images) != len(labels) or not set(labels.tolist()) <= set(range(10)):
            raise ValueError("images and labels do not belong together")
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise SourceError(f"{where} is not a batch of CIFAR-10: {error}; download it again") from error
    return images.transpose(0, 2, 3, 1), labels


def _idx(content: bytes, where: str) -> np.ndarray:
    """The uint8 array of an idx file: two zero bytes, type 8, dimensions, their sizes, the values."""
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        zeros, kind, dimensions = struct.unpack(">HBB", content[:4])
        if zeros != 0 or kind != 8:
            raise ValueError("it does not begin like one")
        shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
        return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise SourceError(f"{where} is not an idx file of MNIST: {error}; download it again") from error


def _keep(load: Callable[[], Arrays], target: Path, emit: Callable[[str], None]) -> Path:
    """Write the images and labels that `load` returns as one array file, once."""

    def write(temporary: Path) -> None:
        images, labels = load()
        records = np.empty(len(images), dtype=[("label", np.int64), ("image", np.uint8, images.shape[1:])])
        records["label"], records["image"] = labels, images
        with open(temporary, "wb") as file:
            np.save(file, records)

    return make_once(target, write, emit)


def _source(records: Path, location: str, names: tuple[str, ...], dataset: Dataset) -> ArraySource:
    if isinstance(dataset.classes, tuple) and set(dataset.classes) != set(names):
        raise SourceError(
            f"{location} has the classes {', '.join(names)}, but dataset `{dataset.name}` names "
            f"{', '.join(dataset.classes)}: set its `classes` to the former"
        )
    return ArraySource(records, location, names, dataset.labelled)


def _require(wanted, found: dict[str, str], location: str) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise SourceError(f"{location} lacks {', '.join(missing)}: it is not complete; download it again")


def _version(files: Files) -> str:
    return hashlib.sha256(json.dumps([files.location, files.signature()]).encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def _open_records(path: str, size: int, mtime: int) -> np.ndarray:
    return np.load(path, mmap_mode="r")
