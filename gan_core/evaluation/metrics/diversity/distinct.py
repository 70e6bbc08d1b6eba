"""How many of the generated images differ from each other, and how many have a near-duplicate."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure, count, percent
from gan_core.evaluation.metrics.base import (
    PIXELS,
    Comparison,
    Figures,
    ImageSet,
    ImagesOf,
    Metric,
    Statistic,
    add_metric,
)
from gan_core.evaluation.metrics.neighbourhoods import MOST, compared, compared_rows

if TYPE_CHECKING:
    import numpy
    import torch

# Two images are near-duplicates if they are nearer than 95% of train images are to their nearest other one.
QUANTILE = 0.05
PAIRS = 12


@dataclass(frozen=True)
class NearDuplicates:
    """Of each image, bool (N,): whether it is near to an earlier one (`repeats`), and to any (`near`)."""

    repeats: "torch.Tensor"
    near: "torch.Tensor"


def near_duplicates(pixels: "torch.Tensor", distance: float) -> NearDuplicates:
    """Which of these rows, uint8 (N, d), are no farther than `distance` from another."""
    import numpy
    import torch

    from gan_core.evaluation.statistics.neighbours import pairs_in_balls, within

    found = NearDuplicates(*(torch.zeros(len(pixels), dtype=torch.bool) for _ in range(2)))
    for pairs in pairs_in_balls(pixels, pixels, point_radii=numpy.full(len(pixels), distance), same=True):
        limits = torch.full_like(pairs.low, distance)
        close = within(pixels, pixels, pairs, limits, inclusive=True)
        found.near[pairs.queries[close].cpu()] = True
        found.repeats[pairs.queries[close & (pairs.points < pairs.queries)].cpu()] = True
    return found


def closest_pairs(pixels: "torch.Tensor", distance: float) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """The `PAIRS` pairs of rows of uint8 (N, d) that are nearest to each other: numbers int64 (n, 2), nearest
    first, and their distances (n,).

    What is no farther than `distance` from a row that is shown is left out: an image that comes a hundred
    times is shown once.
    """
    import numpy

    from gan_core.evaluation.statistics.neighbours import nearest

    distances, others = (found[:, 0] for found in nearest(pixels, pixels, 1, same=True))
    open_rows = numpy.ones(len(pixels), dtype=bool)
    pairs = []
    for number in numpy.argsort(distances, kind="stable"):
        pair = sorted((int(number), int(others[number])))
        if len(pairs) < PAIRS and open_rows[pair].all():
            pairs.append((*pair, distances[number]))
            squares = (pixels.int() - pixels[number].int()).square().sum(dim=1).numpy()
            open_rows &= squares > distance**2
            open_rows[pair] = False
    found = numpy.array(pairs, dtype=numpy.float64).reshape(-1, 3)
    return found[:, :2].astype(numpy.int64), found[:, 2]


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
    found = near_duplicates(pixels, comparison.real[SPACING])
    return {
        "distinct": int((~found.repeats).sum()),
        "near_duplicates": float(found.near.double().mean()),
    }


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`pairs` (n, 2): the samples that are most alike; `nearness` (n,): their distances, divided by that
    within which images are near-duplicates (or as they are, where that is 0)."""
    from gan_core.evaluation.statistics.moments import kept_images

    pixels, limit = compared(comparison.generated[PIXELS]), comparison.real[SPACING]
    pairs, distances = closest_pairs(pixels, limit)
    kept = kept_images(comparison.generated.count, comparison.seed)
    numbers = kept[compared_rows(len(kept))]
    return {"pairs": numbers[pairs], "nearness": distances / (limit or 1.0)}


def picture(found: "dict[str, numpy.ndarray]", generated: ImagesOf, train: ImagesOf) -> bytes:
    """The pairs, one sample above the other, the most alike first."""
    import torch

    from gan_core.images import grid_png

    rows = [generated(found["pairs"][:, side]) for side in (0, 1)]
    return grid_png(torch.cat(rows), len(rows[0]), scale=max(1, 48 // rows[0].shape[-1]))


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
            ),
            "near_duplicates": Figure(
                "Near-duplicates",
                "lower",
                "Share of generated images that have such a near-duplicate among the generated ones, earlier "
                "or later. Of the training images 5% have one among themselves; of fewer images fewer do.",
                percent,
            ),
        },
        compute=compute,
        generated=(PIXELS,),
        real=(PIXELS, SPACING),
        evidence=evidence,
        picture=picture,
        picture_title="Samples that are most alike, one above the other",
        settings=lambda comparison: f"distinct of {min(MOST, len(comparison.generated[PIXELS]))}",
        in_tables=False,
        version="2",
        question="variety",
        position=61,
    ),
)
