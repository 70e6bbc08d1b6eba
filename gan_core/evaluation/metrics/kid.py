"""The Kernel Inception Distance (Bińkowski et al. 2018), by torch-fidelity."""

from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import FEATURES, Comparison, Figures, Metric, add_metric

if TYPE_CHECKING:
    import torch

# The settings of the paper and of torch-fidelity.
RNG_SEED = 2020
SUBSETS = 100
SUBSET_SIZE = 1000


def kernel_inception_distance(
    generated: "torch.Tensor",
    real: "torch.Tensor",
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = RNG_SEED,
) -> tuple[float, float]:
    """KID of features (N, D) and (M, D): mean and standard deviation over subsets, computed in float64.

    The unbiased squared MMD with the kernel (x.y / D + 1)^3. May be slightly negative. Fewer than
    `subset_size` images in a set, or sets of other D, are an `EvaluationError`.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

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
    found = kid_features_to_metric(
        generated.double(),
        real.double(),
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        rng_seed=seed,
        verbose=False,
    )
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


def subset_size(comparison: Comparison) -> int:
    """1000 as in the paper's protocol, or what both sets have."""
    return min(SUBSET_SIZE, len(comparison.generated[FEATURES]), len(comparison.real[FEATURES]))


def compute(comparison: Comparison) -> Figures:
    mean, deviation = kernel_inception_distance(
        comparison.generated[FEATURES], comparison.real[FEATURES], subset_size=subset_size(comparison)
    )
    return {"kid": mean, "kid_std": deviation}


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
                "KID, spread of subsets", None, "Standard deviation of the KID over its subsets."
            ),
        },
        compute=compute,
        generated=(FEATURES,),
        real=(FEATURES,),
        variants=("test", "floor"),
        settings=lambda comparison: f"kid={SUBSETS}x{subset_size(comparison)}",
        position=20,
    ),
)
