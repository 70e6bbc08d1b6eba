"""How alike the images of one class are: MS-SSIM between pairs (Odena, Olah and Shlens 2017)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import (
    Comparison,
    Figures,
    ImageSet,
    Interval,
    Metric,
    Statistic,
    add_metric,
)
from gan_core.evaluation.metrics.diversity.thumbnails import REAL_THUMBNAILS, THUMBNAILS

if TYPE_CHECKING:
    import numpy

    from gan_core.evaluation.statistics.thumbnails import Thumbnails


@dataclass(frozen=True)
class Likeness:
    """`pairs`: the MS-SSIM of each pair (p,); `classes`: the class of its two images (p,)."""

    pairs: "numpy.ndarray"
    classes: "numpy.ndarray"

    @classmethod
    def of(cls, thumbnails: "Thumbnails", seed: int, *, by_class: bool) -> "Likeness":
        """Of pairs of the images of one class; or, not `by_class`, of any images."""
        import numpy

        from gan_core.evaluation.statistics.structural_similarity import ms_ssim
        from gan_core.evaluation.statistics.thumbnails import disjoint_pairs

        count = len(thumbnails)
        classes = thumbnails.classes.numpy() if by_class else numpy.zeros(count, dtype=numpy.int64)
        pairs = disjoint_pairs(classes, seed)
        if not len(pairs):
            return cls(numpy.empty(0), numpy.empty(0, dtype=numpy.int64))
        first, second = (thumbnails.images[pairs[:, side]] for side in (0, 1))
        return cls(ms_ssim(first, second).numpy(), classes[pairs[:, 0]])

    def by_class(self) -> "dict[int, numpy.ndarray]":
        """The values of each class that has pairs."""
        import numpy

        return {int(one): self.pairs[self.classes == one] for one in numpy.unique(self.classes)}

    def mean(self) -> float | None:
        """The mean over the classes of their means, so that no class counts more than another."""
        import numpy

        return float(numpy.mean([of.mean() for of in self.by_class().values()])) if len(self.pairs) else None


def _derive(images: ImageSet, train: ImageSet | None) -> "dict[str, numpy.ndarray] | None":
    """Of real images, once for all experiments: of pairs of `any` (p,), and, where the classes are known, of
    pairs `within` (q,) the `classes` (q,)."""
    if REAL_THUMBNAILS not in images:
        return None
    thumbnails = images[REAL_THUMBNAILS]
    found = {"any": Likeness.of(thumbnails, 0, by_class=False).pairs}
    if thumbnails.classes is not None:
        within = Likeness.of(thumbnails, 0, by_class=True)
        found |= {"within": within.pairs, "classes": within.classes}
    return found


REAL_LIKENESS = Statistic(
    "likeness", derive=_derive, to_arrays=lambda arrays: arrays, of_arrays=lambda arrays: arrays
)


def _by_class(comparison: Comparison) -> bool:
    known = "classes" in comparison.real[REAL_LIKENESS]
    return known and comparison.generated[THUMBNAILS].classes is not None


def _generated(comparison: Comparison) -> Likeness:
    def measure() -> Likeness:
        thumbnails = comparison.generated[THUMBNAILS]
        return Likeness.of(thumbnails, comparison.seed, by_class=_by_class(comparison))

    return comparison.once("likeness", measure)


def _real(comparison: Comparison) -> Likeness:
    import numpy

    found = comparison.real[REAL_LIKENESS]
    if _by_class(comparison):
        return Likeness(found["within"], found["classes"])
    return Likeness(found["any"], numpy.zeros(len(found["any"]), dtype=numpy.int64))


def compute(comparison: Comparison) -> Figures:
    return {"ms_ssim": _generated(comparison).mean(), "ms_ssim_real": _real(comparison).mean()}


def interval(comparison: Comparison) -> Interval | None:
    """No image is in two pairs: the values are independent, and the classes strata."""
    import numpy

    from gan_core.evaluation.statistics.intervals import NORMAL_QUANTILE

    classes = list(_generated(comparison).by_class().values())
    if not classes or min(map(len, classes)) < 2:
        return None
    error = float(numpy.sqrt(sum(of.var(ddof=1) / len(of) for of in classes))) / len(classes)
    value = _generated(comparison).mean()
    return value - NORMAL_QUANTILE * error, value + NORMAL_QUANTILE * error


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`classes` (k,) that both sides have pairs of, as numbers (one, 0, where pairs are of any images), and
    the mean MS-SSIM of each, `generated` and `real` (k,)."""
    import numpy

    sides = [likeness.by_class() for likeness in (_generated(comparison), _real(comparison))]
    both = sorted(sides[0].keys() & sides[1].keys())
    generated, real = (numpy.array([side[one].mean() for one in both]) for side in sides)
    return {"classes": numpy.array(both, dtype=numpy.int64), "generated": generated, "real": real}


def settings(comparison: Comparison) -> str:
    """Within what images are paired, at how many scales of what size, and how many there are of either side.

    What decides the figures is one word: protocols are compared word by word.
    """
    from gan_core.evaluation.statistics.structural_similarity import scales_of, window_of

    generated, real = comparison.generated[THUMBNAILS], comparison.real[REAL_THUMBNAILS]
    side = min(generated.images.shape[-2:])
    within = "classes" if _by_class(comparison) else "all"
    return f"ms_ssim={within},{side}px,{scales_of(side)}x{window_of(side)} of {len(generated)}/{real}"


add_metric(
    "ms_ssim",
    Metric(
        figures={
            "ms_ssim": Figure(
                "MS-SSIM within classes",
                "real",
                "How alike two generated images of one class are, 1 for equal ones (Odena et al. 2017); "
                "without classes of the dataset's own, of any two. Lower is more diverse, down to that of "
                "real images; below it is no merit: noise is near 0. A class that is missing is not seen.",
            ),
            "ms_ssim_real": Figure(
                "MS-SSIM within classes, real images", None, "The same of pairs of training images."
            ),
        },
        compute=compute,
        generated=(THUMBNAILS,),
        real=(REAL_THUMBNAILS, REAL_LIKENESS),
        interval=interval,
        evidence=evidence,
        settings=settings,
        in_tables=False,
        question="variety",
        position=63,
    ),
)
