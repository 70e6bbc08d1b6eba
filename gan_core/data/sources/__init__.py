"""The images of a dataset, wherever they are: one `Source` per split."""

import logging
from collections.abc import Callable
from pathlib import Path

from gan_core.config import Dataset
from gan_core.data.sources.base import Entry, Source, interleave, is_held_out
from gan_core.data.sources.kinds import SOURCE_KINDS
from gan_core.errors import SourceError

__all__ = ["Entry", "Source", "interleave", "is_held_out", "open_sources"]
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
    kind = SOURCE_KINDS[dataset.source.kind](dataset, cache, emit)
    train, test = locations.get("train"), locations.get("test")
    sources = {"train": kind.open("train", train, whole=True)}
    if "test" not in dataset.splits:
        return sources
    # A train location that was given may hold both splits, but is not mixed with the official test split.
    found = kind.open("test", test or train, whole=test is not None)
    if found is not None:
        sources["test"] = found
        if dataset.test_fraction and dataset.source.stack is None:  # of which the digits are held out
            emit(f"{dataset.name}: test_fraction is not used: the source has a test split of its own")
    elif not dataset.test_fraction:
        raise SourceError(
            f"dataset `{dataset.name}` wants a test split, and {sources['train'].location} has none: set "
            f"{dataset.source_variable}_TEST to its path, or in the dataset's file `test_fraction: 0.1` to "
            "hold out a tenth, or `splits: [train]` to do without"
        )
    return sources
