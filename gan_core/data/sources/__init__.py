"""The images of a dataset, wherever they are: one `Source` a split."""

import logging
from collections.abc import Callable
from pathlib import Path

from gan_core.config import Dataset, Split
from gan_core.data.sources.arrays import open_cifar10, open_digits, open_mnist
from gan_core.data.sources.base import Entry, Source, interleave
from gan_core.data.sources.file_collections import Files, open_files
from gan_core.data.sources.images import open_images
from gan_core.data.sources.lsun import open_lsun
from gan_core.data.sources.official import BASE_URLS, official_location
from gan_core.errors import SourceError

__all__ = ["Entry", "Source", "interleave", "open_sources"]
logger = logging.getLogger("gan_core")


def open_sources(
    dataset: Dataset,
    locations: dict[str, str | None],
    cache: Path,
    emit: Callable[[str], None] = logger.info,
) -> dict[str, Source]:
    """The source of each split, downloaded into `cache` where no location is given.

    `locations` maps `train` and `test` to a path, an fsspec URL, or None (as `Dataset.locations`). The
    result has no `test` where that is to be held out of train (`Dataset.test_fraction`). Raises
    `SourceError` for a location that is missing, empty or wrongly laid out, and for a missing split.
    """
    opener = _Opener(dataset, cache, emit)
    train, test = locations.get("train"), locations.get("test")
    sources = {"train": opener.open("train", train, whole=True)}
    if "test" not in dataset.splits:
        return sources
    # A train location that was given may hold both splits, but is not mixed with the official test split.
    found = opener.open("test", test or train, whole=test is not None)
    if found is not None:
        sources["test"] = found
        if dataset.test_fraction:
            emit(f"{dataset.name}: test_fraction is not used: the source has a test split of its own")
    elif not dataset.test_fraction:
        raise SourceError(
            f"dataset `{dataset.name}` wants a test split, and {sources['train'].location} has none: set "
            f"{dataset.source_variable}_TEST to its path, or in the dataset's file `test_fraction: 0.1` to "
            "hold out a tenth, or `splits: [train]` to do without"
        )
    return sources


class _Opener:
    """Opens the splits of one dataset; a location that serves several is listed once."""

    def __init__(self, dataset: Dataset, cache: Path, emit: Callable[[str], None]):
        self.dataset, self.cache, self.emit = dataset, cache, emit
        self.opened: dict[str, Files] = {}

    def open(self, split: Split, location: str | None, *, whole: bool) -> Source | None:
        """A split's source. With `whole`, a location without split folders is this split, else None."""
        dataset, kind = self.dataset, self.dataset.source.kind
        if location is None and kind == "digits":
            return open_digits(self.cache, dataset, self.emit) if split == "train" else None
        if location is None:
            if kind not in BASE_URLS:
                raise SourceError(
                    f"dataset `{dataset.name}` has no images: set {dataset.source_variable} to the path or "
                    "URL of a folder or archive, or `source.train` in the dataset's file"
                )
            location, whole = official_location(dataset, split, self.cache, self.emit), True
        if kind == "lsun":
            return open_lsun(location, split, self.cache, dataset, whole=whole, emit=self.emit)
        if location not in self.opened:
            self.opened[location] = open_files(location, self.cache, self.emit)
        files = self.opened[location]
        open_official = {"cifar10": open_cifar10, "mnist": open_mnist}.get(kind)
        found = open_official and open_official(files, split, self.cache, dataset, self.emit)
        return found or open_images(files, split, dataset, whole=whole)
