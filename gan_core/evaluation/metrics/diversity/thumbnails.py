"""Small copies of some images of either side, for metrics that compare images two by two."""

from typing import TYPE_CHECKING

from gan_core.evaluation.metrics.base import Gatherer, Statistic

if TYPE_CHECKING:
    import numpy

    from gan_core.evaluation.statistics.thumbnails import Thumbnails


def _gather(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.thumbnails import GatheredThumbnails

    return GatheredThumbnails(count, seed, own_classes=False)


def _gather_real(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.thumbnails import GatheredThumbnails

    return GatheredThumbnails(count, seed, own_classes=True)


def _to_arrays(thumbnails: "Thumbnails") -> "dict[str, numpy.ndarray]":
    arrays = {"images": thumbnails.images.numpy()}
    return arrays if thumbnails.classes is None else {**arrays, "classes": thumbnails.classes.numpy()}


def _of_arrays(arrays: "dict[str, numpy.ndarray]") -> "Thumbnails":
    import torch

    from gan_core.evaluation.statistics.thumbnails import Thumbnails

    found = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Thumbnails(found["images"], found.get("classes"))


# `Thumbnails` of at most 2,000 images. Classes of generated ones are those of any extractor; they count where
# the real ones, which have labels, have classes as well.
THUMBNAILS = Statistic("thumbnails", _gather)
REAL_THUMBNAILS = Statistic("real_thumbnails", _gather_real, to_arrays=_to_arrays, of_arrays=_of_arrays)
