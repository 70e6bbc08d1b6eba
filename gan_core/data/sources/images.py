"""Folders and archives of image files, with or without a folder a class."""

from collections import defaultdict
from typing import Any

from gan_core.config import Dataset
from gan_core.data.sources.base import Entry, Source, interleave
from gan_core.data.sources.file_collections import Files
from gan_core.errors import SourceError

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".avif"),
)
# What the folder of a split may be called, where one location holds both.
SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val")}


class ImageFiles(Source):
    """The image files under one folder (`prefix`) of some files; keys are the names below it."""

    def __init__(self, files: Files, prefix: str, entries: list[Entry]):
        self.files, self.prefix, self.listed = files, prefix, entries
        self.location, self.remote = files.location, files.remote

    def __getstate__(self) -> dict:
        return {**self.__dict__, "listed": []}  # a worker is told what to read

    def entries(self, limit: int | None = None) -> list[Entry]:
        return self.listed[:limit]

    def read(self, entry: Entry) -> bytes:
        return self.files.read(self.prefix + entry.key)

    def signature(self) -> Any:
        return [self.files.signature(), self.prefix]


def open_images(files: Files, split: str, dataset: Dataset, *, whole: bool) -> ImageFiles | None:
    """The images of one split. A location that holds `train/` and `test/` (or `val/`) serves both splits.

    Any other is this split, if `whole`; else None is returned. Raises `SourceError` if there are no images,
    or not the class folders that the dataset names.
    """
    names = [name for name in files.names() if name.lower().endswith(IMAGE_EXTENSIONS)]
    if not names:
        raise SourceError(
            f"{files.location} contains no images (files whose names end in {' '.join(IMAGE_EXTENSIONS)}): "
            f"check the source of dataset `{dataset.name}`"
        )
    container = _container(names, dataset)
    if container is None and not whole:
        return None
    if container is not None:
        top, folders = container
        prefix = f"{top}{next(f for f in SPLIT_FOLDERS[split] if f in folders)}/"
        names = [name for name in names if name.startswith(prefix)]
    else:
        prefix = ""
    prefix += _common_top([name[len(prefix) :] for name in names], dataset)
    keys = [name[len(prefix) :] for name in names]
    if not dataset.labelled:
        return ImageFiles(files, prefix, [Entry(key, None) for key in keys])
    return ImageFiles(files, prefix, _by_class(keys, f"{files.location} ({split})", dataset))


def _container(names: list[str], dataset: Dataset) -> tuple[str, set[str]] | None:
    """Where the split folders are, and which there are; None if the location holds no split folders."""
    top = ""
    while True:
        below = [name[len(top) :] for name in names]
        folders = {name.partition("/")[0] for name in below if "/" in name}
        has_both = "train" in folders and bool(folders & set(SPLIT_FOLDERS["test"]))
        if has_both and "train" not in (dataset.classes or ()):
            return top, folders
        if len(folders) != 1 or not all("/" in name for name in below):
            return None
        top += f"{folders.pop()}/"


def _common_top(names: list[str], dataset: Dataset) -> str:
    """The folders that all names share, unless they are a class."""
    top = ""
    while True:
        parts = [name[len(top) :].split("/") for name in names]
        first = parts[0][0]
        if any(len(p) < 2 or p[0] != first for p in parts):
            return top
        if dataset.labelled and (first in dataset.classes or any(len(p) < 3 for p in parts)):
            return top
        top += f"{first}/"


def _by_class(keys: list[str], where: str, dataset: Dataset) -> list[Entry]:
    """The entries with their top folders as classes; raises `SourceError` if these are not the dataset's."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for key in keys:
        folder, slash, _ = key.partition("/")
        groups[folder if slash else ""].append(Entry(key, folder))
    mistakes = []
    if at_root := groups.pop("", []):
        mistakes.append(f"{len(at_root):,} images are in no class folder ({_some(e.key for e in at_root)})")
    if dataset.classes != "folders":
        if missing := [name for name in dataset.classes if name not in groups]:
            mistakes.append(f"class folders are missing: {_some(missing)}")
        if unexpected := [name for name in groups if name not in dataset.classes]:
            mistakes.append(f"folders are no class of the dataset: {_some(unexpected)}")
    if mistakes:
        expected = "<class>" if dataset.classes == "folders" else _some(dataset.classes)
        raise SourceError(
            f"{where} is not laid out as dataset `{dataset.name}` says: {'; '.join(mistakes)}. Expected a "
            f"folder a class with its images, {expected}: mend the source, or `classes` in the dataset's file"
        )
    order = sorted(groups) if dataset.classes == "folders" else dataset.classes
    return interleave(groups[name] for name in order)


def _some(names) -> str:
    names = [f"`{name}`" for name in names]
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
