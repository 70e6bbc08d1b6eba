"""How many of the data's classes are among the generated images, and how far their shares are from the
data's.

On stacked digits, whose 1,000 classes are the modes, this is the collapse itself (Metz et al. 2017;
Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning"). The
published figures are of 26,000 samples.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gan_core.evaluation.figures import Figure, count
from gan_core.evaluation.metrics.base import (
    MOST_CLASSES,
    Comparison,
    Figures,
    Metric,
    add_metric,
)
from gan_core.evaluation.metrics.classes.class_shares import GENERATED, ClassCounts, real_counts

if TYPE_CHECKING:
    import numpy


REAL = real_counts("labelled_classes", lambda: ClassCounts(lambda batch: batch.labels))


def mode_divergence(generated: "numpy.ndarray", real: "numpy.ndarray") -> float:
    """KL(generated || real) in nats, of the shares of classes: Σ q log(q / p), of counts (K,) each.

    A class without a real image counts as one image: the divergence would be infinite.
    """
    import numpy

    p = numpy.maximum(real, 1)
    p, q = p / p.sum(), generated / generated.sum()
    there = q > 0
    return float((q[there] * numpy.log(q[there] / p[there])).sum())


def modes(comparison: Comparison) -> Figures:
    generated = comparison.generated[GENERATED]
    return {"modes": int((generated > 0).sum()), "modes_there": int((comparison.real[REAL] > 0).sum())}


def divergence(comparison: Comparison) -> Figures:
    return {"mode_divergence": mode_divergence(comparison.generated[GENERATED], comparison.real[REAL])}


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`generated` and `real`: how many images were recognised as, or have, each class, int64 (K,)."""
    return {"generated": comparison.generated[GENERATED], "real": comparison.real[REAL]}


def _are_many(rows: Mapping[str, Any]) -> bool:
    return "modes_there" in rows and bool((rows["modes_there"] > MOST_CLASSES).any())


add_metric(
    "modes",
    Metric(
        figures={
            "modes": Figure(
                "Modes found",
                "higher",
                "How many of the data's classes are recognised at least once among the generated images. It "
                "grows with the number of samples: as many real images show what can be reached. Higher is "
                "better.",
                count,
            ),
            "modes_there": Figure(
                "Modes in the data", None, "How many classes the training images have.", count
            ),
        },
        compute=modes,
        evidence=evidence,
        generated=(GENERATED,),
        real=(REAL,),
        variants=("floor",),
        columns=("floor",),
        explanations={
            "floor": "How many classes are recognised among as many real images that were not trained on."
        },
        in_tables=_are_many,
        question="classes",
        position=43,
    ),
)
add_metric(
    "mode_divergence",
    Metric(
        figures={
            "mode_divergence": Figure(
                "KL of modes",
                "lower",
                "The divergence of the shares of classes among the generated images from those among the "
                "training images, KL(generated || data) in nats. Lower is better. Chance adds about half the "
                "number of classes over the number of samples, so that real images have more than 0 too.",
            )
        },
        compute=divergence,
        generated=(GENERATED,),
        real=(REAL,),
        variants=("floor",),
        columns=("floor",),
        in_tables=_are_many,
        question="classes",
        position=44,
    ),
)
