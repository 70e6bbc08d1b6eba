"""What `evaluate` takes in place of an experiment: images of folders, archives, shards and arrays, statistics
that other programs computed, and the splits of datasets whose statistics the store holds."""

from collections.abc import Callable
from pathlib import Path

from gan_core.evaluation.inputs.arrays import ArrayImages, is_array
from gan_core.evaluation.inputs.base import Images
from gan_core.evaluation.inputs.paths import PathImages

__all__ = ["ArrayImages", "Images", "PathImages", "open_images"]


def open_images(location: str, cache: Path, emit: Callable[[str], None]) -> Images:
    """The images at a path or fsspec URL, looked through, so that damage is known before a network loads.

    Raises `EvaluationError` and `SourceError`: see `PathImages`, `ArrayImages` and `Images.look`.
    """
    images = (ArrayImages if is_array(location) else PathImages)(location, cache, emit)
    images.look(emit)
    return images
