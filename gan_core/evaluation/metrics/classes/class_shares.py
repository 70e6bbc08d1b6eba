"""Whether a generator makes all classes: how often each is recognised among its images and the train images.

FID hardly sees that classes are missing; a classifier of the dataset's own classes does, also where the
generator was asked for none.
"""

from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import (
    Batch,
    Comparison,
    Figures,
    Gatherer,
    Metric,
    Statistic,
    add_metric,
)

if TYPE_CHECKING:
    import numpy


class RecognisedClasses(Gatherer):
    """How many images were recognised as each class, int64 (K,)."""

    def __init__(self):
        self.counts = None

    def update(self, batch: Batch) -> None:
        counts = batch.logits.argmax(dim=1).cpu().bincount(minlength=batch.logits.shape[1])
        self.counts = counts if self.counts is None else self.counts + counts

    def finish(self) -> "numpy.ndarray":
        return self.counts.numpy()


GENERATED = Statistic("recognised_classes", lambda count, seed: RecognisedClasses(), needs="classes")
# Of real images only where their labels are the extractor's classes: Inception's are not the dataset's.
REAL = Statistic(
    "recognised_own_classes",
    lambda count, seed: RecognisedClasses(),
    needs="labels",
    to_arrays=lambda counts: {"counts": counts},
    of_arrays=lambda arrays: arrays["counts"],
)


def shares(comparison: Comparison) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """The share of each class among the generated and among the real images, (K,) each, as recognised."""
    generated, real = comparison.generated[GENERATED], comparison.real[REAL]
    return generated / generated.sum(), real / real.sum()


def compute(comparison: Comparison) -> Figures:
    generated, real = shares(comparison)
    there = real > 0
    return {"least_class_share": float((generated[there] / real[there]).min())}


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`generated` and `real`: the share of each class, as recognised."""
    generated, real = shares(comparison)
    return {"generated": generated, "real": real}


add_metric(
    "class_shares",
    Metric(
        figures={
            "least_class_share": Figure(
                "Least class share",
                "higher",
                "How often the rarest class is recognised among the generated images, as a part of how often "
                "it is among the training images: 0 where a class is missing, just below 1 where all are "
                "there in the data's proportions, the more so the fewer images are generated. Higher is "
                "better.",
            )
        },
        compute=compute,
        evidence=evidence,
        generated=(GENERATED,),
        real=(REAL,),
        in_tables=False,
        position=41,
    ),
)
