"""Whether a generator makes all classes: how often each is recognised among its images and the train images.

FID hardly sees that classes are missing; a classifier of the dataset's own classes does, also where the
generator was asked for none.
"""

from collections.abc import Callable
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
    import torch


class ClassCounts(Gatherer):
    """How many images have each class, int64 (K,): the one that is recognised, unless `classes_of` says
    another, int64 (B,) of a batch."""

    def __init__(self, classes_of: "Callable[[Batch], torch.Tensor]" = lambda batch: batch.logits.argmax(1)):
        self.classes_of, self.counts = classes_of, None

    def update(self, batch: Batch) -> None:
        counts = self.classes_of(batch).cpu().bincount(minlength=batch.logits.shape[1])
        self.counts = counts if self.counts is None else self.counts + counts

    def finish(self) -> "numpy.ndarray":
        return self.counts.numpy()


GENERATED = Statistic("recognised_classes", lambda count, seed: ClassCounts(), needs="classes")


def real_counts(name: str, gather: "Callable[[], ClassCounts]") -> Statistic:
    """Of real images, where their labels are the extractor's classes: Inception's are not the dataset's."""
    return Statistic(
        name,
        lambda count, seed: gather(),
        needs="labels",
        to_arrays=lambda counts: {"counts": counts},
        of_arrays=lambda arrays: arrays["counts"],
    )


REAL = real_counts("recognised_own_classes", ClassCounts)


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
        question="classes",
        position=41,
    ),
)
