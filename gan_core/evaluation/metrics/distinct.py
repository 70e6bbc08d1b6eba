"""How many of the generated images differ from each other."""

from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure, count
from gan_core.evaluation.metrics.base import (
    PIXELS,
    Comparison,
    Figures,
    ImageSet,
    Metric,
    Statistic,
    add_metric,
)
from gan_core.evaluation.metrics.neighbourhoods import MOST, compared

if TYPE_CHECKING:
    import torch

# Two images are near-duplicates if they are nearer than 95% of train images are to their nearest other one.
QUANTILE = 0.05


def distinct_images(pixels: "torch.Tensor", distance: float) -> int:
    """The number of rows, uint8 (N, d), that are farther than `distance` from every earlier row."""
    import numpy
    import torch

    from gan_core.evaluation.statistics.neighbours import pairs_in_balls, within

    repeats = torch.zeros(len(pixels), dtype=torch.bool)
    for pairs in pairs_in_balls(pixels, pixels, point_radii=numpy.full(len(pixels), distance), same=True):
        limits = torch.full_like(pairs.low, distance)
        close = within(pixels, pixels, pairs, limits, inclusive=True) & (pairs.points < pairs.queries)
        repeats[pairs.queries[close].cpu()] = True
    return int((~repeats).sum())


def _derive(images: ImageSet, train: ImageSet | None) -> float | None:
    import numpy

    from gan_core.evaluation.statistics.neighbours import radii

    if PIXELS not in images or images.count < 2:
        return None
    return float(numpy.quantile(radii(compared(images[PIXELS]), 1), QUANTILE))


def _to_arrays(distance: float):
    import numpy

    return {"distance": numpy.array(distance)}


SPACING = Statistic(
    "spacing", derive=_derive, to_arrays=_to_arrays, of_arrays=lambda arrays: float(arrays["distance"])
)


def compute(comparison: Comparison) -> Figures:
    pixels = compared(comparison.generated[PIXELS])
    return {"distinct": distinct_images(pixels, comparison.real[SPACING])}


add_metric(
    "distinct",
    Metric(
        figures={
            "distinct": Figure(
                "Distinct samples",
                "higher",
                "How many generated images are no near-duplicate of an earlier one: no nearer to it, by "
                "pixels at 16x16, than 95% of train images are to their nearest other one.",
                count,
            )
        },
        compute=compute,
        generated=(PIXELS,),
        real=(PIXELS, SPACING),
        settings=lambda comparison: f"distinct of {min(MOST, len(comparison.generated[PIXELS]))}",
        in_tables=False,
        position=61,
    ),
)
