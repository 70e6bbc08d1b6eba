"""FD∞: the Fréchet distance without its bias by the number of samples (Chong and Forsyth 2020)."""

from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import FEATURES, MOMENTS, Comparison, Figures, Metric, add_metric

if TYPE_CHECKING:
    import numpy
    import torch

    from gan_core.evaluation.statistics.moments import FrechetReference

# Of the paper: sizes from 5,000 of 50,000 on, evenly apart.
SIZES = 15
SMALLEST = 5_000


def sizes_of(count: int, dimensions: int) -> "numpy.ndarray | None":
    """`SIZES` numbers of samples, evenly from the smallest to `count`; None where there is no room for them.

    The smallest is 5,000, or a tenth of fewer than 50,000, but always more than there are dimensions: a
    covariance of fewer samples is singular, and the distance is no line in 1 / N there.
    """
    import numpy

    smallest = max(min(SMALLEST, count // 10), dimensions + 1)
    if count - smallest < SIZES:
        return None
    return numpy.linspace(smallest, count, SIZES).round().astype(numpy.int64)


def distances_by_size(
    reference: "FrechetReference", features: "torch.Tensor", sizes: "numpy.ndarray", seed: int
) -> "numpy.ndarray":
    """The Fréchet distance (S,) of the first `sizes` (S,), ascending, of features (n, D) in a seeded order.

    Each size is the one before and some more samples, so that all moments cost one pass.
    """
    import numpy

    from gan_core.evaluation.statistics.moments import Moments, frechet_distance

    order = numpy.random.RandomState(seed).permutation(len(features))
    moments, distances, before = Moments(), [], 0
    for size in sizes:
        moments.update(features[order[before:size]])
        distances.append(frechet_distance(reference, moments.gaussian()))
        before = size
    return numpy.array(distances)


def extrapolated(sizes: "numpy.ndarray", distances: "numpy.ndarray") -> float:
    """Where the line of the distances against 1 / N meets 1 / N = 0, by least squares. May be below 0."""
    import numpy

    return float(numpy.polynomial.polynomial.polyfit(1 / sizes, distances, 1)[0])


def compute(comparison: Comparison) -> Figures:
    found = _by_size(comparison)
    return {"fid_infinity": extrapolated(**found) if found else None}


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`sizes` (S,) and `distances` (S,) that the line goes through."""
    return _by_size(comparison)


def _by_size(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    features, reference = comparison.generated[FEATURES], comparison.real[MOMENTS]
    sizes = sizes_of(*features.shape)
    if sizes is None:
        return {}
    return comparison.once(
        "fid by size",
        lambda: {
            "sizes": sizes,
            "distances": distances_by_size(reference, features, sizes, comparison.seed),
        },
    )


def settings(comparison: Comparison) -> str:
    """How many sizes, and the smallest and largest."""
    sizes = sizes_of(*comparison.generated[FEATURES].shape)
    return "" if sizes is None else f"fid_infinity={SIZES} sizes of {sizes[0]}-{sizes[-1]}"


add_metric(
    "fid_infinity",
    Metric(
        figures={
            "fid_infinity": Figure(
                "FD∞",
                "lower",
                "The FID that infinitely many samples would have: the FID of growing numbers of samples, as "
                "a line against 1 / N, carried on to 0 (Chong and Forsyth 2020). What few real images add to "
                "the FID stays in it. Lower is better.",
            )
        },
        compute=compute,
        generated=(FEATURES,),
        real=(MOMENTS,),
        evidence=evidence,
        settings=settings,
        in_tables=False,
        position=12,
    ),
)
