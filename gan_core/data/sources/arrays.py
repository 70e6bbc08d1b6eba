"""Datasets that are published as arrays, brought into one array file of records in the cache."""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_core.config import Dataset
from gan_core.data.local_files import make_once
from gan_core.data.sources.base import Entry, Source, interleave
from gan_core.data.sources.files import Files, file_signature
from gan_core.errors import SourceError

Arrays = tuple[np.ndarray, np.ndarray]


class ArraySource(Source):
    """Images in one array file of records (`image`, `label`), opened as a memory map in every process.

    An image's bytes are its raw pixels: uint8, (H, W) or (H, W, 3).
    """

    def __init__(self, records: Path, location: str, classes: tuple[str, ...], labelled: bool):
        self.records, self.location, self.classes, self.labelled = records, location, classes, labelled

    def entries(self, limit: int | None = None) -> list[Entry]:
        labels = self._open()["label"].tolist()
        if not self.labelled:
            return [Entry(f"{index:05d}", None) for index in range(len(labels))][:limit]
        groups: list[list[Entry]] = [[] for _ in self.classes]
        for index, label in enumerate(labels):
            groups[label].append(Entry(f"{index:05d}", self.classes[label]))
        return interleave(groups)[:limit]

    def read(self, entry: Entry) -> bytes:
        return self._open()["image"][int(entry.key)].tobytes()

    def decode(self, content: bytes) -> Image.Image:
        shape = self._open()["image"].shape[1:]
        return Image.fromarray(np.frombuffer(content, dtype=np.uint8).reshape(shape))

    def signature(self) -> Any:
        return [str(self.records), *file_signature(self.records)]

    def is_whole(self) -> bool:
        """Whether the array file is one, to its end."""
        try:
            return self._open().dtype.names == ("label", "image")
        except (OSError, ValueError, EOFError, SyntaxError):
            return False

    def _open(self) -> np.ndarray:
        return _open_records(str(self.records), *file_signature(self.records))


def array_source(
    load: Callable[[], Arrays],
    target: Path,
    location: str,
    names: tuple[str, ...],
    dataset: Dataset,
    emit: Callable[[str], None],
) -> ArraySource:
    """The source of the images uint8 (N, H, W) or (N, H, W, 3) and labels int64 (N,) that `load` gives.

    They are loaded once, into `target`, and again where that is damaged. `names` are those of the labels;
    raises `SourceError` if the dataset's classes are others.
    """
    if isinstance(dataset.classes, tuple) and set(dataset.classes) != set(names):
        raise SourceError(
            f"{location} has the classes {', '.join(names)}, but dataset `{dataset.name}` names "
            f"{', '.join(dataset.classes)}: set its `classes` to the former"
        )

    def write(temporary: Path) -> None:
        images, labels = load()
        records = np.empty(len(images), dtype=[("label", np.int64), ("image", np.uint8, images.shape[1:])])
        records["label"], records["image"] = labels, images
        with open(temporary, "wb") as file:
            np.save(file, records)

    source = ArraySource(make_once(target, write, emit), location, names, dataset.labelled)
    if not source.is_whole():
        emit(f"{target} is damaged: it is made anew")
        target.unlink(missing_ok=True)
        make_once(target, write, emit)
    return source


def cached_array(cache: Path, name: str, files: Files) -> Path:
    """Where in the cache the array of these files is; another place for each version of them."""
    version = hashlib.sha256(json.dumps([files.location, files.signature()]).encode()).hexdigest()[:16]
    return cache / "arrays" / f"{name}-{version}.npy"


def require(wanted: Iterable[str], found: dict[str, str], location: str) -> None:
    """Raise `SourceError` if not all files that belong to a split are there."""
    if missing := [name for name in wanted if name not in found]:
        raise SourceError(f"{location} lacks {', '.join(missing)}: it is not complete; download it again")


@lru_cache(maxsize=8)
def _open_records(path: str, size: int, mtime: int) -> np.ndarray:
    return np.load(path, mmap_mode="r")
