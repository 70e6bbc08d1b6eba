"""The Vendi score (Friedman and Dieng 2023): how many entirely different images a set is worth."""

from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure, percent
from gan_core.evaluation.metrics.base import FEATURES, Comparison, Figures, Interval, Metric, add_metric
from gan_core.evaluation.metrics.neighbourhoods import RNG_SEED, compared

if TYPE_CHECKING:
    import numpy
    import torch

# With fewer samples than so many a dimension, the score grows with their number, and an interval around it
# says nothing of the generator.
SAMPLES_PER_DIMENSION = 2


def vendi_score(features: "torch.Tensor") -> "tuple[float, numpy.ndarray]":
    """The Vendi score of features (n, D), and of each image its part (n,) in the entropy, whose mean it is.

    exp of the entropy of the eigenvalues of K / n with K the cosine similarities of the features (arXiv
    2210.02410): 1 for images that are all alike, min(n, D) at most. The eigenvalues that are not 0 are those
    of the D x D matrix X'X / n with X the normalised features.
    """
    import numpy
    import torch

    rows = torch.nn.functional.normalize(features.double(), dim=1).numpy()
    values, vectors = numpy.linalg.eigh(rows.T @ rows / len(rows))
    kept = values > len(values) * numpy.finfo(numpy.float64).eps
    values, vectors = values[kept], vectors[:, kept]
    score = numpy.exp(-(values * numpy.log(values)).sum())
    return float(score), -(numpy.square(rows @ vectors) @ numpy.log(values))


def _found(comparison: Comparison) -> "tuple[float, numpy.ndarray]":
    return comparison.once("vendi", lambda: vendi_score(_equally_many(comparison)[0]))


def _equally_many(comparison: Comparison) -> "tuple[torch.Tensor, torch.Tensor]":
    """The features of as many generated as real images: more of one side would make it look more diverse."""
    sides = [compared(side[FEATURES]) for side in (comparison.generated, comparison.real)]
    return tuple(_at_most(rows, min(map(len, sides))) for rows in sides)


def _at_most(rows: "torch.Tensor", count: int) -> "torch.Tensor":
    import numpy

    if len(rows) == count:
        return rows
    return rows[numpy.sort(numpy.random.RandomState(RNG_SEED).choice(len(rows), count, replace=False))]


def compute(comparison: Comparison) -> Figures:
    score, (real, _) = _found(comparison)[0], vendi_score(_equally_many(comparison)[1])
    return {"vendi": score, "vendi_real": real, "vendi_share": score / real}


def interval(comparison: Comparison) -> Interval | None:
    """By the parts of the entropy, whose mean is the entropy to the first order of the samples."""
    import numpy

    from gan_core.evaluation.statistics.intervals import mean_interval

    _, parts = _found(comparison)
    if len(parts) < SAMPLES_PER_DIMENSION * comparison.generated[FEATURES].shape[1]:
        return None
    return tuple(float(numpy.exp(end)) for end in mean_interval(parts))


def settings(comparison: Comparison) -> str:
    return f"vendi=cosine of {len(_equally_many(comparison)[0])}"


add_metric(
    "vendi",
    Metric(
        figures={
            "vendi": Figure(
                "Vendi score",
                "real",
                "How many entirely different images the generated ones are worth, by the cosine similarity "
                "of their features (Friedman and Dieng 2023). Higher is more diverse, up to that of real "
                "images; above that it is no merit. It says nothing of quality.",
            ),
            "vendi_real": Figure(
                "Vendi score of real images", None, "The Vendi score of as many training images."
            ),
            "vendi_share": Figure(
                "Vendi score, part of the real images'",
                "real",
                "The Vendi score as a part of that of as many training images: about 100% is as diverse as "
                "the data.",
                percent,
            ),
        },
        compute=compute,
        generated=(FEATURES,),
        real=(FEATURES,),
        interval=interval,
        settings=settings,
        in_tables=False,
        question="variety",
        position=62,
    ),
)
