"""Small copies of some images of either side, for metrics that compare images two by two."""

from typing import TYPE_CHECKING

from gan_core.evaluation.metrics.base import Gatherer, Statistic

if TYPE_CHECKING:
    import numpy


def _gather(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.thumbnails import GatheredThumbnails

    return GatheredThumbnails(count, seed, own_classes=False)


def _gather_real(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.thumbnails import GatheredThumbnails

    return GatheredThumbnails(count, seed, own_classes=True)


def _to_arrays(count: int) -> "dict[str, numpy.ndarray]":
    import numpy

    return {"count": numpy.array(count)}


# `Thumbnails` of at most 2,000 images. Classes of generated ones are those of any extractor; they count where
# the real ones, which have labels, have classes as well.
THUMBNAILS = Statistic("thumbnails", _gather)
# Of real images their number is kept, not the images: what is derived of them is.
REAL_THUMBNAILS = Statistic(
    "real_thumbnails",
    _gather_real,
    prepare=len,
    to_arrays=_to_arrays,
    of_arrays=lambda arrays: int(arrays["count"]),
)
