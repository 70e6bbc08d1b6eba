"""How often a classifier recognises the class that a conditional generator was asked for."""

from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure, percent
from gan_core.evaluation.metrics.base import (
    MOST_CLASSES,
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


class Recognised(Gatherer):
    """Counts (class of the label, class of the largest logit) over the labelled images, int64 (K, K); None
    without labels."""

    def __init__(self):
        self.counts = None

    def update(self, batch: Batch) -> None:
        if batch.labels is None or batch.logits is None:
            return
        k = batch.logits.shape[1]
        pairs = batch.labels.cpu() * k + batch.logits.argmax(dim=1).cpu()
        counts = pairs.bincount(minlength=k * k).reshape(k, k)
        self.counts = counts if self.counts is None else self.counts + counts

    def finish(self) -> "numpy.ndarray | None":
        return None if self.counts is None else self.counts.numpy()


RECOGNISED = Statistic("recognised", lambda count, seed: Recognised(), needs="labels")


def compute(comparison: Comparison) -> Figures:
    counts = comparison.generated[RECOGNISED]
    return {"class_accuracy": float(counts.trace() / counts.sum())}


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`confusion`: how many images were asked for as the class of the row and recognised as the column's;
    nothing with more than `MOST_CLASSES` classes."""
    counts = comparison.generated[RECOGNISED]
    return {"confusion": counts} if len(counts) <= MOST_CLASSES else {}


add_metric(
    "accuracy",
    Metric(
        figures={
            "class_accuracy": Figure(
                "Class accuracy",
                "higher",
                "How often a classifier trained on real images recognises the class that a conditional "
                "generator was asked for. Higher is better.",
                percent,
            )
        },
        compute=compute,
        evidence=evidence,
        generated=(RECOGNISED,),
        version="2",
        question="classes",
        position=40,
    ),
)
