"""The Kernel Inception Distance (Bińkowski et al. 2018), in subsets that are drawn as torch-fidelity does."""

from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import FEATURES, Comparison, Figures, Interval, Metric, add_metric

if TYPE_CHECKING:
    import numpy
    import torch

    from gan_core.evaluation.statistics.kernel_sums import KernelSums

# The settings of the paper and of torch-fidelity.
RNG_SEED = 2020
SUBSETS = 100
SUBSET_SIZE = 1000
# The pairs of more images than these would take longer than 100 subsets, and tell little more.
MOST_FEATURES = 10_000


def kernel_inception_distance(
    generated: "torch.Tensor",
    real: "torch.Tensor",
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = RNG_SEED,
) -> tuple[float, float]:
    """KID of features (N, D) and (M, D): mean and standard deviation (population) over subsets.

    The unbiased squared MMD with the kernel (x.y / D + 1)^3, summed up in float64. May be slightly negative.
    Fewer than `subset_size` images in a set, or sets of other D, are an `EvaluationError`.
    """
    from gan_core.evaluation.statistics.kernel_sums import subset_distances

    if generated.shape[1] != real.shape[1]:
        raise EvaluationError(
            f"features of {generated.shape[1]} and of {real.shape[1]} dimensions do not compare: use one "
            "extractor"
        )
    if not 2 <= subset_size <= min(len(generated), len(real)):
        raise EvaluationError(
            f"KID subsets of {subset_size} images cannot be drawn from {len(generated)} generated and "
            f"{len(real)} real images: choose a size from 2 to the smaller of them"
        )
    found = subset_distances(generated, real, subsets=subsets, size=subset_size, seed=seed)
    return float(found.mean()), float(found.std())


def compared_features(comparison: Comparison) -> "tuple[torch.Tensor, torch.Tensor]":
    """The features (n, D) and (m, D) of either side: all, or `MOST_FEATURES` that a fixed seed chooses."""
    return _at_most(comparison.generated[FEATURES]), _at_most(comparison.real[FEATURES])


def _at_most(features: "torch.Tensor") -> "torch.Tensor":
    import numpy

    if len(features) <= MOST_FEATURES:
        return features
    return features[numpy.random.RandomState(RNG_SEED).choice(len(features), MOST_FEATURES, replace=False)]


def subset_size(comparison: Comparison) -> int:
    """1000 as in the paper's protocol, or what both sets have."""
    return min(SUBSET_SIZE, len(comparison.generated[FEATURES]), len(comparison.real[FEATURES]))


def compute(comparison: Comparison) -> Figures:
    size = subset_size(comparison)
    mean, deviation = comparison.once(
        "kid", lambda: kernel_inception_distance(*compared_features(comparison), subset_size=size)
    )
    return {"kid": mean, "kid_std": deviation}


def interval(comparison: Comparison) -> Interval:
    from gan_core.evaluation.statistics.intervals import kernel_interval

    size = subset_size(comparison)
    return kernel_interval(compute(comparison)["kid"], _sums(comparison), subsets=SUBSETS, size=size)


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """What a relative MMD test between two experiments needs: see `statistics.comparing`."""
    sums = _sums(comparison)
    return {"own": sums.own, "cross": sums.cross, "real": sums.real}


def _sums(comparison: Comparison) -> "KernelSums":
    from gan_core.evaluation.statistics.kernel_sums import kernel_sums

    return comparison.once("kernel sums", lambda: kernel_sums(*compared_features(comparison)))


def settings(comparison: Comparison) -> str:
    """Subsets, their size, and how many features of either side they are drawn from."""
    sides = comparison.generated, comparison.real
    generated, real = (min(len(side[FEATURES]), MOST_FEATURES) for side in sides)
    return f"kid={SUBSETS}x{subset_size(comparison)} of {generated}/{real}"


add_metric(
    "kid",
    Metric(
        figures={
            "kid": Figure(
                "KID",
                "lower",
                "Kernel distance between the same two sets of features (Bińkowski et al. 2018). Lower is "
                "better; unlike the FID it is not biased by the number of images, and may fall slightly "
                "below 0.",
            ),
            "kid_std": Figure(
                "KID, spread of subsets",
                None,
                "Standard deviation of the KID over its subsets, as papers print it. It is no error bar: one "
                "subset is much less certain than the mean of all, and where a subset is the whole set it is "
                "0. The KID's interval is one.",
            ),
        },
        compute=compute,
        generated=(FEATURES,),
        real=(FEATURES,),
        variants=("test", "floor"),
        interval=interval,
        evidence=evidence,
        settings=settings,
        version="2",
        position=20,
    ),
)
