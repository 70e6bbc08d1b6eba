"""Precision, recall, density and coverage, plain and clipped: images in the balls around other images.

The ball of an image reaches to its k-th nearest neighbour within its own set. Quality is what lies in the
balls of real images, variety which of them are reached (Kynkäänniemi et al. 2019, arXiv 1904.06991; Naeem et
al. 2020, arXiv 2002.09797).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.evaluation.figures import Figure, decimal, percent
from gan_core.evaluation.metrics.base import (
    FEATURES,
    MOST_CLASSES,
    Comparison,
    Figures,
    ImageSet,
    Interval,
    Metric,
    Question,
    Statistic,
    add_metric,
)

if TYPE_CHECKING:
    import numpy
    import torch

# The setting of Naeem et al., with a strict comparison.
K = 5
# Of larger sets so many images are compared, chosen by a fixed seed: ten thousand settle every figure to 1%.
MOST = 10_000
RNG_SEED = 2020


# --- balls ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RealBalls:
    """`radii` float64 (n,) of real images, and `own_density`: their mean clipped density (0..1), each in the
    balls of the others."""

    radii: "numpy.ndarray"
    own_density: float

    @property
    def clipped(self) -> "numpy.ndarray":
        """Radii no larger than their median, so that outliers hold no more than others (arXiv 2507.01761)."""
        import numpy

        return numpy.minimum(self.radii, numpy.median(self.radii))


@dataclass(frozen=True)
class Neighbourhoods:
    """For each of m generated images, in how many balls of n real ones it lies, int64 (m,): `in_real`, and
    `in_clipped` where the radii are clipped; for each real image, how many generated ones lie in its ball,
    int64 (n,): `held`, and in the balls of how many generated ones it lies, int64 (n,): `reached`.

    For intervals, the first generated ones of these, by number, -1 where there are fewer: `holders` int64
    (n, k) and `reachers` int64 (n, k)."""

    in_real: "numpy.ndarray"
    in_clipped: "numpy.ndarray"
    held: "numpy.ndarray"
    reached: "numpy.ndarray"
    holders: "numpy.ndarray"
    reachers: "numpy.ndarray"


def real_balls(real: "torch.Tensor", k: int = K) -> RealBalls:
    """The balls of real features (n, D), n > k.

    Those of clipped density are closed: each holds its k-th neighbour, as it holds k generated images.
    """
    import numpy

    from gan_core.evaluation.statistics.neighbours import radii

    balls = RealBalls(radii(real, k), 0.0)
    counts = _counts(real, real, balls.clipped, same=True)
    return RealBalls(balls.radii, float(numpy.minimum(counts / k, 1).mean()))


def neighbourhoods(
    generated: "torch.Tensor",
    real: "torch.Tensor",
    balls: RealBalls,
    k: int = K,
    *,
    inclusive: bool = False,
) -> Neighbourhoods:
    """What lies where, of features (m, D), m > k, and (n, D). `inclusive`: all balls are closed, as
    improved precision and recall have it (Kynkäänniemi et al. 2019, with k = 3)."""
    import numpy
    import torch

    from gan_core.evaluation.statistics.neighbours import pairs_in_balls, radii, within

    in_real, in_clipped = (numpy.zeros(len(generated), dtype=numpy.int64) for _ in range(2))
    held, reached = (numpy.zeros(len(real), dtype=numpy.int64) for _ in range(2))
    holders, reachers = (numpy.full((len(real), k), -1) for _ in range(2))
    of_generated = radii(generated, k)
    outer, inner, own = (torch.from_numpy(values) for values in (balls.radii, balls.clipped, of_generated))
    for pairs in pairs_in_balls(generated, real, query_radii=of_generated, point_radii=balls.radii):
        i, j = pairs.queries.cpu(), pairs.points.cpu()

        def inside(bounds, closed, pairs=pairs):
            bounds = bounds.to(pairs.low.device)
            return within(generated, real, pairs, bounds, inclusive=closed).cpu()

        hits = inside(outer[j], inclusive)
        in_real += numpy.bincount(i[hits], minlength=len(generated))
        _note_first(holders, held, i[hits].numpy(), j[hits].numpy())
        held += numpy.bincount(j[hits], minlength=len(real))
        in_clipped += numpy.bincount(i[inside(inner[j], True)], minlength=len(generated))
        reaches = inside(own[i], inclusive)
        _note_first(reachers, reached, i[reaches].numpy(), j[reaches].numpy())
        reached += numpy.bincount(j[reaches], minlength=len(real))
    return Neighbourhoods(in_real, in_clipped, held, reached, holders, reachers)


def _note_first(
    first: "numpy.ndarray", known: "numpy.ndarray", generated: "numpy.ndarray", real: "numpy.ndarray"
) -> None:
    """Write these generated images (P,) behind the `known` (n,) ones of these real images (P,)."""
    import numpy

    order = numpy.argsort(real, kind="stable")
    generated, real = generated[order], real[order]
    places = known[real] + numpy.arange(len(real)) - numpy.searchsorted(real, real)
    free = places < first.shape[1]
    first[real[free], places[free]] = generated[free]


def _counts(
    queries: "torch.Tensor", points: "torch.Tensor", point_radii: "numpy.ndarray", *, same: bool
) -> "numpy.ndarray":
    """In how many of the points' closed balls each query lies, int64 (M,)."""
    import numpy
    import torch

    from gan_core.evaluation.statistics.neighbours import pairs_in_balls, within

    counts, bounds = numpy.zeros(len(queries), dtype=numpy.int64), torch.from_numpy(point_radii)
    for pairs in pairs_in_balls(queries, points, point_radii=point_radii, same=same):
        limits = bounds.to(pairs.points.device)[pairs.points]
        hits = within(queries, points, pairs, limits, inclusive=True)
        counts += numpy.bincount(pairs.queries[hits].cpu(), minlength=len(queries))
    return counts


# --- what is expected -------------------------------------------------------------------------------------


def expected_coverage(real: int, generated: int, k: int = K) -> float:
    """The coverage of `generated` images by the distribution of the `real` ones: 1 - prod (N-i)/(N+M-i).

    0.969 at k = 5 and equal numbers (Naeem et al. 2020, section 3.2).
    """
    missed = 1.0
    for i in range(1, k + 1):
        missed *= (real - i) / (real + generated - i)
    return 1 - missed


def expected_filling(real: int, good: "numpy.ndarray", k: int = K) -> "numpy.ndarray":
    """The unscaled clipped coverage, mean min(held / k, 1), where `good` (...) of the generated images follow
    the real distribution and the others lie in no ball (arXiv 2507.01761).

    The ball of an image to its k-th neighbour among N - 1 others has the probability Beta(k, N - k), so what
    it holds of m images is beta-binomial: the mean is the sum over t = 1..k of P(held >= t) / k.
    """
    import numpy
    from scipy.special import betaln, binom

    at_most, filling = 0.0, 0.0
    for t in range(k):
        rest = numpy.maximum(good - t, 0)  # where there are fewer than t, binom is 0
        at_most += binom(good, t) * numpy.exp(betaln(k + t, real - k + rest) - betaln(k, real - k))
        filling += (1 - at_most) / k
    return filling


def calibrated(filling: float, real: int, generated: int, k: int = K) -> float:
    """The share of good images (0..1) of which such an unscaled clipped coverage is expected."""
    import numpy

    good = numpy.arange(generated + 1)
    return float(numpy.interp(filling, expected_filling(real, good, k), good / generated))


# --- metrics ----------------------------------------------------------------------------------------------


def compared(rows: "torch.Tensor") -> "torch.Tensor":
    """All rows of a set, or those `MOST` that are compared."""
    return rows if len(rows) <= MOST else rows[compared_rows(len(rows))]


def compared_rows(count: int) -> "numpy.ndarray":
    """The numbers (n,), ascending, of those of `count` rows that are compared."""
    import numpy

    if count <= MOST:
        return numpy.arange(count)
    return numpy.sort(numpy.random.RandomState(RNG_SEED).choice(count, MOST, replace=False))


def _balls_of(images: ImageSet, train: ImageSet | None) -> RealBalls | None:
    if FEATURES not in images or images.count <= K:
        return None
    return real_balls(compared(images[FEATURES]))


def _labels_of_arrays(arrays: "dict[str, numpy.ndarray]") -> "torch.Tensor":
    import torch

    return torch.from_numpy(arrays["labels"])


def _balls_to_arrays(balls: RealBalls) -> "dict[str, numpy.ndarray]":
    import numpy

    return {"radii": balls.radii, "own_density": numpy.array(balls.own_density)}


BALLS = Statistic(
    "balls",
    derive=_balls_of,
    to_arrays=_balls_to_arrays,
    of_arrays=lambda arrays: RealBalls(arrays["radii"], float(arrays["own_density"])),
)


def _gather_labels(count: int, seed: int) -> Any:
    from gan_core.evaluation.statistics.moments import GatheredLabels

    return GatheredLabels(count, seed)


# int64 (n,): the class of each image of which `FEATURES` has a row.
LABELS = Statistic(
    "labels",
    _gather_labels,
    needs="labels",
    to_arrays=lambda labels: {"labels": labels.numpy()},
    of_arrays=_labels_of_arrays,
)


def found(comparison: Comparison) -> Neighbourhoods:
    """The neighbourhoods of a comparison, for all six metrics at once."""
    return comparison.once(
        "neighbourhoods",
        lambda: neighbourhoods(
            compared(comparison.generated[FEATURES]),
            compared(comparison.real[FEATURES]),
            comparison.real[BALLS],
        ),
    )


def precision(comparison: Comparison) -> Figures:
    return {"precision": float((found(comparison).in_real > 0).mean())}


def recall(comparison: Comparison) -> Figures:
    return {"recall": float((found(comparison).reached > 0).mean())}


def density(comparison: Comparison) -> Figures:
    return {"density": float(found(comparison).in_real.mean() / K)}


def coverage(comparison: Comparison) -> Figures:
    return {"coverage": float((found(comparison).held > 0).mean())}


def class_coverage(comparison: Comparison) -> Figures:
    labels, held = compared(comparison.real[LABELS]).numpy(), found(comparison).held > 0
    if labels.max(initial=0) >= MOST_CLASSES:
        return dict.fromkeys(("least_class_coverage", "most_class_coverage"))
    of_classes = [float(held[labels == label].mean()) for label in sorted(set(labels.tolist()))]
    return {"least_class_coverage": min(of_classes), "most_class_coverage": max(of_classes)}


def clipped_density(comparison: Comparison) -> Figures:
    import numpy

    own = comparison.real[BALLS].own_density
    unscaled = float(numpy.minimum(found(comparison).in_clipped / K, 1).mean())
    return {"clipped_density": min(unscaled / own, 1.0) if own else None}


def clipped_coverage(comparison: Comparison) -> Figures:
    import numpy

    balls = found(comparison)
    filling = float(numpy.minimum(balls.held / K, 1).mean())
    return {"clipped_coverage": calibrated(filling, len(balls.held), len(balls.in_real))}


# --- intervals --------------------------------------------------------------------------------------------

# Given the real images, whether a generated one lies in their balls does not depend on the other generated
# ones: precision and the densities are means of independent values. Variety depends on all of them: its error
# is the jackknife's, from what would be lost without each generated image.


def precision_interval(comparison: Comparison) -> Interval | None:
    from gan_core.evaluation.statistics.intervals import share_interval

    inside = found(comparison).in_real > 0
    return share_interval(int(inside.sum()), len(inside))


def density_interval(comparison: Comparison) -> Interval | None:
    from gan_core.evaluation.statistics.intervals import mean_interval

    return mean_interval(found(comparison).in_real / K)


def clipped_density_interval(comparison: Comparison) -> Interval | None:
    import numpy

    from gan_core.evaluation.statistics.intervals import mean_interval

    own = comparison.real[BALLS].own_density
    ends = mean_interval(numpy.minimum(found(comparison).in_clipped / K, 1))
    return tuple(min(max(end / own, 0.0), 1.0) for end in ends) if own and ends else None


def recall_interval(comparison: Comparison) -> Interval | None:
    balls = found(comparison)
    return _reached_interval(balls.reached, balls.reachers, len(balls.in_real))


def coverage_interval(comparison: Comparison) -> Interval | None:
    balls = found(comparison)
    return _reached_interval(balls.held, balls.holders, len(balls.in_real))


def _reached_interval(counts: "numpy.ndarray", first: "numpy.ndarray", generated: int) -> Interval:
    """Of the share of real images that are reached by a generated one at least: `counts` (n,), of which the
    first are `first` (n, k)."""
    lost = _bincount(first[counts == 1, 0], generated) / len(counts)
    return _share_interval(float((counts > 0).mean()), lost)


def clipped_coverage_interval(comparison: Comparison) -> Interval | None:
    balls = found(comparison)
    needed = balls.holders[balls.held <= K]
    lost = _bincount(needed[needed >= 0], len(balls.in_real)) / (K * len(balls.held))
    ends = _share_interval(float((balls.held.clip(max=K) / K).mean()), lost)
    return tuple(calibrated(end, len(balls.held), len(balls.in_real)) for end in ends)


def _bincount(numbers: "numpy.ndarray", count: int) -> "numpy.ndarray":
    import numpy

    return numpy.bincount(numbers, minlength=count)


def _share_interval(value: float, lost: "numpy.ndarray") -> Interval:
    """The interval of a share that is `lost` (m,) less without each of the generated images.

    The squares of what is lost are on average more than the variance (Efron and Stein 1981): it holds the
    truth in 97 to 99% of trials, rather than 95%.
    """
    import numpy

    from gan_core.evaluation.statistics.intervals import NORMAL_QUANTILE

    error = NORMAL_QUANTILE * float(numpy.sqrt(lost.var() * len(lost)))
    return max(value - error, 0.0), min(value + error, 1.0)


def settings(comparison: Comparison) -> str:
    """`k=5 of 2000/1440`: how many generated and real images were compared."""
    sizes = (min(MOST, len(side[FEATURES])) for side in (comparison.generated, comparison.real))
    return f"k={K} of {'/'.join(map(str, sizes))}"


def _add(
    name: str,
    label: str,
    explanation: str,
    compute,
    interval,
    question: Question,
    position: int,
    *,
    floor: bool,
    write=percent,
    in_tables=True,
    in_overview=False,
):
    add_metric(
        name,
        Metric(
            figures={name: Figure(label, "higher", explanation, write)},
            compute=compute,
            in_overview=in_overview,
            generated=(FEATURES,),
            real=(FEATURES, BALLS),
            variants=("floor",) if floor else (),
            interval=interval,
            settings=settings,
            least_images=K + 1,
            in_tables=in_tables,
            question=question,
            position=position,
        ),
    )


_add(
    "precision",
    "Precision",
    "Share of generated images that lie among real ones: in the ball of one at least, which reaches to its "
    "fifth neighbour (Naeem et al. 2020). Quality: higher is better.",
    precision,
    precision_interval,
    "quality",
    13,
    floor=True,
    in_overview=True,
)
_add(
    "recall",
    "Recall",
    "Share of real images that lie in the ball of a generated one. Variety: higher is better; repeated "
    "images have 0, but the wide balls of bad images raise it.",
    recall,
    recall_interval,
    "variety",
    14,
    floor=True,
    in_overview=True,
)
_add(
    "density",
    "Density",
    "In how many balls of real images a generated one lies, divided by the five that are expected (Naeem et "
    "al. 2020). Quality: higher is better; about 1 for the same distribution, more where images crowd.",
    density,
    density_interval,
    "quality",
    15,
    floor=True,
    write=decimal,
    in_tables=False,
)
_add(
    "coverage",
    "Coverage",
    "Share of real images with a generated one in their ball (Naeem et al. 2020). Variety: higher is better; "
    "the same distribution has 96.9% with as many images as real ones, and less with fewer.",
    coverage,
    coverage_interval,
    "variety",
    16,
    floor=True,
    in_overview=True,
)
_add(
    "clipped_density",
    "Clipped density",
    "Density that outliers and crowding do not raise, relative to that of real images (Salvy et al. 2025): "
    "this share of good samples would have it. Quality: higher is better.",
    clipped_density,
    clipped_density_interval,
    "quality",
    54,
    floor=False,
    in_tables=False,
)
_add(
    "clipped_coverage",
    "Clipped coverage",
    "How far the balls of real images are filled, calibrated (Salvy et al. 2025): this share of good samples "
    "would fill them so far. Variety: higher is better.",
    clipped_coverage,
    clipped_coverage_interval,
    "variety",
    55,
    floor=False,
    in_tables=False,
)
add_metric(
    "class_coverage",
    Metric(
        figures={
            "least_class_coverage": Figure(
                "Coverage, least covered class",
                "higher",
                "The coverage of that class of the dataset whose images are reached least. Higher is better; "
                "near 0 beside a high coverage of other classes is a class left out.",
                percent,
            ),
            "most_class_coverage": Figure(
                "Coverage, most covered class",
                "higher",
                "The coverage of that class of the dataset whose images are reached most. Higher is better.",
                percent,
            ),
        },
        in_tables=False,
        compute=class_coverage,
        generated=(FEATURES,),
        real=(FEATURES, BALLS, LABELS),
        settings=settings,
        least_images=K + 1,
        question="classes",
        position=56,
    ),
)
