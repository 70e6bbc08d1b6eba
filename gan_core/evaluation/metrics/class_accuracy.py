"""How often a classifier recognises the class that a conditional generator was asked for."""

from gan_core.evaluation.figures import Figure, percent
from gan_core.evaluation.metrics.base import (
    Batch,
    Comparison,
    Figures,
    Gatherer,
    Metric,
    Statistic,
    add_metric,
)


class Recognised(Gatherer):
    """The share (0..1) of labelled images whose label has the largest logit; None without labels."""

    def __init__(self):
        self.recognised = self.labelled = 0

    def update(self, batch: Batch) -> None:
        if batch.labels is None or batch.logits is None:
            return
        self.recognised += int((batch.logits.argmax(dim=1).cpu() == batch.labels.cpu()).sum())
        self.labelled += len(batch.labels)

    def finish(self) -> float | None:
        return self.recognised / self.labelled if self.labelled else None


RECOGNISED = Statistic("recognised", lambda count, seed: Recognised(), needs="labels")


def compute(comparison: Comparison) -> Figures:
    return {"class_accuracy": comparison.generated[RECOGNISED]}


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
        generated=(RECOGNISED,),
        position=40,
    ),
)
