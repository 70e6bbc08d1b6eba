"""Copying: samples that are near training images, and not as near held-out ones.

What is near is told by held-out images: one in twenty of them has a training image within the 5% quantile of
their distances. Blurred samples are near any image: where they are no copies, the nearest of all images is a
held-out one as often as there are held-out ones among them. Distances are those of features, and
of pixels at 16x16 with shifts of one pixel allowed, as copies with noise leave the features and copies that
are shifted leave the pixels alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan_core.evaluation.figures import Figure, decimal, percent
from gan_core.evaluation.metrics.base import (
    FEATURES,
    PIXELS,
    Comparison,
    Figures,
    ImageSet,
    ImagesOf,
    Interval,
    Metric,
    Statistic,
    add_metric,
)
from gan_core.evaluation.metrics.neighbourhoods import RNG_SEED, compared

if TYPE_CHECKING:
    import numpy
    import torch

    Arrays = dict[str, numpy.ndarray]

QUANTILE = 0.05
# With fewer held-out images than that so many samples would have one as their nearest, by chance, that some
# of them have none shows little: then what is near counts as copied.
LEAST_EXPECTED = 30
# Pixels: of the train images that are nearest at 8x8, so many are compared at 16x16 and shifted. Of digits
# that are shifted by one pixel, the original is among them for 98% (89% if diagonally), on CIFAR-10 for all.
COARSE_SIDE, CANDIDATES, SHIFT = 8, 50, 1
# C_T: the settings of Meehan et al. 2020 for images, and how many samples a cell needs to be counted.
DIMENSIONS, CELLS, LEAST_IN_CELL = 64, 3, 20
PAIRS = 12
ROWS = 256


# --- distances of pixels ----------------------------------------------------------------------------------


def pixel_distances(queries: "torch.Tensor", points: "torch.Tensor") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """The distance of each query to its nearest point, float64 (M,), and that point's number, int64 (M,).

    Both are `PIXELS`: uint8 (M, d) and (N, d). Squares in 1 or 3 channels are compared without their border,
    at the best of nine shifts, among the `CANDIDATES` points that are nearest at 8x8; others as they are.
    """
    import numpy

    from gan_core.evaluation.statistics.neighbours import nearest

    shape = square_of(queries.shape[1])
    if shape is None or shape[1] <= 2 * SHIFT:
        distances, numbers = nearest(queries, points, 1)
        return distances[:, 0], numbers[:, 0]
    most = min(CANDIDATES, len(points))
    _, candidates = nearest(_coarse(queries, shape), _coarse(points, shape), most)
    distances = _shifted_distances(queries, points, candidates, shape)
    best = distances.argmin(axis=1)
    rows = numpy.arange(len(best))
    return distances[rows, best], candidates[rows, best]


def square_of(values: int) -> tuple[int, int] | None:
    """(channels, side) of an image of so many values, if it is a square in 1 or 3 channels."""
    for channels in (1, 3):
        side = round((values / channels) ** 0.5)
        if channels * side * side == values:
            return channels, side
    return None


def _coarse(rows: "torch.Tensor", shape: tuple[int, int]) -> "torch.Tensor":
    import torch
    from torch.nn import functional

    channels, side = shape
    if side <= COARSE_SIDE:
        return rows
    parts = [
        functional.adaptive_avg_pool2d(part.view(-1, channels, side, side).float(), COARSE_SIDE).flatten(1)
        for part in rows.split(4096)
    ]
    return torch.cat(parts)


def _shifted_distances(
    queries: "torch.Tensor",
    points: "torch.Tensor",
    candidates: "numpy.ndarray",
    shape: tuple[int, int],
) -> "numpy.ndarray":
    """The least distance over shifts of each query to each of its candidates (M, k), float64 (M, k).

    Sums of products of centred bytes are whole numbers below 2^24 here: float32 holds them exactly.
    """
    import numpy
    import torch

    channels, side = shape
    inner = side - 2 * SHIFT
    windows = [(top, left) for top in range(2 * SHIFT + 1) for left in range(2 * SHIFT + 1)]

    def cut(rows: torch.Tensor, top: int, left: int) -> torch.Tensor:
        images = rows.view(-1, channels, side, side)[..., top : top + inner, left : left + inner]
        return images.flatten(1).float() - 128

    found = numpy.empty(candidates.shape)
    for start in range(0, len(queries), ROWS):
        part = slice(start, start + ROWS)
        numbers = torch.from_numpy(candidates[part])
        of_points = cut(points[numbers.flatten()], SHIFT, SHIFT).view(*numbers.shape, -1)
        of_queries = torch.stack([cut(queries[part], *window) for window in windows], dim=1)
        products = torch.bmm(of_queries, of_points.transpose(1, 2)).double()
        squares = [rows.double().square().sum(dim=2) for rows in (of_queries, of_points)]
        squared = squares[0][:, :, None] + squares[1][:, None, :] - 2 * products
        found[part] = squared.amin(dim=1).clamp(min=0).sqrt().numpy()
    return found


# --- C_T --------------------------------------------------------------------------------------------------


def fit_cells(features: "torch.Tensor", seed: int = RNG_SEED) -> "Arrays":
    """A PCA of train features (N, D) to 64 dimensions, and the centres of 3 cells by k-means: `mean` (D,),
    `components` (d, D), `centres` (c, d)."""
    import numpy
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    rows = compared(features).double().numpy()
    pca = PCA(min(DIMENSIONS, *rows.shape), random_state=seed).fit(rows)
    cells = KMeans(min(CELLS, len(numpy.unique(rows, axis=0))), n_init=10, random_state=seed)
    cells.fit(pca.transform(rows))
    return {"mean": pca.mean_, "components": pca.components_, "centres": cells.cluster_centers_}


def distances_in_cells(
    queries: "torch.Tensor", train: "torch.Tensor", cells: "Arrays"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """The distance of each query to the nearest train image of its cell, float64 (M,), and the cell, (M,)."""
    import numpy
    import torch

    from gan_core.evaluation.statistics.neighbours import nearest

    mean, components = (torch.from_numpy(cells[name]) for name in ("mean", "components"))
    centres = torch.from_numpy(cells["centres"])
    sets, cell_of = [], []
    for features in (queries, train):
        projected = [(part.double() - mean) @ components.T for part in features.split(4096)]
        sets.append(torch.cat(projected))
        cell_of.append(torch.cdist(sets[-1], centres).argmin(dim=1).numpy())
    distances = numpy.full(len(queries), numpy.inf)
    for cell in range(len(centres)):
        here, there = (numpy.flatnonzero(numbers == cell) for numbers in cell_of)
        if len(here) and len(there):
            distances[here] = nearest(sets[0][here], sets[1][there], 1)[0][:, 0]
    return distances, cell_of[0]


def ct_score(
    generated: "tuple[numpy.ndarray, numpy.ndarray]", held_out: "tuple[numpy.ndarray, numpy.ndarray]"
) -> float | None:
    """C_T of Meehan et al. 2020 (arXiv 2004.05675) from what `distances_in_cells` gives of either set.

    The z-score of the Mann-Whitney statistic of both sets' distances in each cell, averaged with the cell's
    share of the held-out images: far below 0 where samples are nearer to train images than held-out ones are.
    None where no cell has `LEAST_IN_CELL` samples.
    """
    import numpy
    from scipy.stats import mannwhitneyu

    (distances, cells), (held, held_cells) = generated, held_out
    scores, weights = [], []
    for cell in numpy.unique(held_cells):
        x, y = distances[cells == cell], held[held_cells == cell]
        if len(x) < LEAST_IN_CELL:
            continue
        pairs = len(x) * len(y)
        statistic = mannwhitneyu(x, y).statistic
        scores.append((statistic - pairs / 2) / (pairs * (len(x) + len(y) + 1) / 12) ** 0.5)
        weights.append(len(y))
    return float(numpy.average(scores, weights=weights)) if scores else None


# --- what is known of the real images ---------------------------------------------------------------------


def _derive(images: ImageSet, train: ImageSet | None) -> "Arrays | None":
    if FEATURES not in images or PIXELS not in images or images.count < 2:
        return None
    if train is None:
        return _of_train(images[FEATURES])
    return _of_held_out(images, train)


def _of_train(features: "torch.Tensor") -> "Arrays":
    """`own`: the distance (N,) of each train image to the nearest other; and the cells."""
    from gan_core.evaluation.statistics.neighbours import nearest

    return {"own": nearest(features, features, 1, same=True)[0][:, 0], **fit_cells(features)}


def _of_held_out(held_out: ImageSet, train: ImageSet) -> "Arrays":
    """Of each held-out image (M,) the distances to the train images: by `pixels`, by `features`, and
    `in_cells`, the nearest of its own of the `cells`; `authentic`: bool (M,), see `authentic`."""
    from gan_core.evaluation.statistics.neighbours import nearest

    features, own = train[FEATURES], _of_train(train[FEATURES])
    distances, numbers = nearest(held_out[FEATURES], features, 1)
    in_cells, cells = distances_in_cells(held_out[FEATURES], features, own)
    return {
        "pixels": pixel_distances(held_out[PIXELS], train[PIXELS])[0],
        "features": distances[:, 0],
        "in_cells": in_cells,
        "cells": cells,
        "authentic": authentic(distances[:, 0], numbers[:, 0], own["own"]),
    }


def authentic(distances: "numpy.ndarray", numbers: "numpy.ndarray", own: "numpy.ndarray") -> "numpy.ndarray":
    """Whether an image is farther from its nearest train image than that one is from its own nearest other
    (Alaa et al. 2022, arXiv 2102.08921), bool (M,)."""
    return distances > own[numbers]


DISTANCES = Statistic(
    "distances", derive=_derive, to_arrays=lambda arrays: arrays, of_arrays=lambda arrays: arrays
)


# --- the metric -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nearness:
    """Of n samples in one space: how many are near a train image (`near_train`), or one that is held out, too
    (`near`), and how many different images are the nearest ones of these: `neighbours`, of which `held_out`
    were not trained on. `expected`: the part of those that chance gives; None where it is too small to be
    seen."""

    samples: int
    near_train: int
    near: int
    neighbours: int
    held_out: int
    expected: float | None

    @property
    def copied(self) -> float:
        """The share of the samples that is near train images, and that chance does not explain."""
        return self.near / self.samples * self._left(self.held_out / max(self.neighbours, 1))

    def interval(self) -> Interval:
        """Given the real images, samples are near independently of each other; what is repeated has one
        nearest image, so that each of these counts once."""
        from gan_core.evaluation.statistics.intervals import share_interval

        low, high = share_interval(self.near, self.samples)
        least, most = share_interval(self.held_out, self.neighbours) or (0.0, 1.0)
        return low * self._left(most), high * self._left(least)

    def _left(self, held_out: float) -> float:
        return max(0.0, 1 - held_out / self.expected) if self.expected else 1.0


def nearness(
    train: "tuple[numpy.ndarray, numpy.ndarray]",
    held_out: "tuple[numpy.ndarray, numpy.ndarray]",
    limit: float,
    images: tuple[int, int],
) -> Nearness:
    """From the distance of each sample to its nearest train and its nearest held-out image and the numbers of
    those, each (n,); `images`: how many of either there are."""
    import numpy

    (distances, numbers), (others, their_numbers) = train, held_out
    near_train, unseen = distances <= limit, others < distances
    chance = images[1] / sum(images)
    if chance * min(len(distances), images[0]) < LEAST_EXPECTED:
        known = len(numpy.unique(numbers[near_train]))
        return Nearness(len(distances), int(near_train.sum()), int(near_train.sum()), known, 0, None)
    # Near either kind: of those near a train image alone, few had the chance to be nearer to another.
    near = near_train | (others <= limit)
    known = len(numpy.unique(numbers[near & ~unseen]))
    new = len(numpy.unique(their_numbers[near & unseen]))
    return Nearness(len(near), int(near_train.sum()), int(near.sum()), known + new, new, chance)


def _nearest_train(comparison: Comparison) -> "dict[str, tuple[numpy.ndarray, numpy.ndarray]]":
    """By space, the distance of each sample to its nearest train image and that one's number, each (M,)."""
    return comparison.once("nearest_train", lambda: _nearest(comparison.generated, comparison.real))


def _nearest(samples: ImageSet, images: ImageSet) -> "dict[str, tuple[numpy.ndarray, numpy.ndarray]]":
    from gan_core.evaluation.statistics.neighbours import nearest

    distances, numbers = nearest(samples[FEATURES], images[FEATURES], 1)
    return {
        "pixels": pixel_distances(samples[PIXELS], images[PIXELS]),
        "features": (distances[:, 0], numbers[:, 0]),
    }


def _limits(comparison: Comparison) -> dict[str, float]:
    """By space, the distance within which one held-out image in twenty has a train image."""
    import numpy

    held_out = comparison.held_out[DISTANCES]
    return {name: float(numpy.quantile(held_out[name], QUANTILE)) for name in ("pixels", "features")}


def _nearness(comparison: Comparison) -> dict[str, Nearness]:
    """By space."""

    def find() -> dict[str, Nearness]:
        to_train = _nearest_train(comparison)
        to_held_out = _nearest(comparison.generated, comparison.held_out)
        images = len(comparison.real[FEATURES]), len(comparison.held_out[FEATURES])
        return {
            name: nearness(to_train[name], to_held_out[name], limit, images)
            for name, limit in _limits(comparison).items()
        }

    return comparison.once("nearness", find)


def compute(comparison: Comparison) -> Figures:
    held_out, train = comparison.held_out[DISTANCES], comparison.real[DISTANCES]
    found, of_features = _nearness(comparison), _nearest_train(comparison)["features"]
    in_cells = distances_in_cells(comparison.generated[FEATURES], comparison.real[FEATURES], train)
    return {
        "copying": max(space.copied for space in found.values()),
        "copying_pixels": found["pixels"].copied,
        "copying_features": found["features"].copied,
        "near_train": max(space.near_train / space.samples for space in found.values()),
        "ct_score": ct_score(in_cells, (held_out["in_cells"], held_out["cells"])),
        "authenticity": float(authentic(*of_features, train["own"]).mean()),
        "authenticity_held_out": float(held_out["authentic"].mean()),
    }


def interval(comparison: Comparison) -> Interval:
    """Of the space with more."""
    return max(_nearness(comparison).values(), key=lambda space: space.copied).interval()


def evidence(comparison: Comparison) -> "Arrays":
    """The `PAIRS` samples that are nearest to a train image, relative to what is near in that space.

    `sample`, `train`: numbers of images; `pixels`, `features`: the distance in that space, NaN where another
    train image is nearer there; `nearness`: the smaller of both, each divided by the 5% quantile of held-out
    images; all (n,), nearest first.
    """
    import numpy

    from gan_core.evaluation.statistics.moments import kept_images

    found, limits = _nearest_train(comparison), _limits(comparison)
    spaces = list(limits)
    near = numpy.stack([found[name][0] / (limits[name] or 1.0) for name in spaces])
    space = near.argmin(axis=0)
    nearness = near.min(axis=0)
    order = numpy.argsort(nearness, kind="stable")[:PAIRS]
    train = numpy.stack([found[name][1] for name in spaces])[space, numpy.arange(len(space))]
    samples, images = (
        kept_images(side.count, comparison.seed) for side in (comparison.generated, comparison.real)
    )
    of_pair = {
        name: numpy.where(found[name][1] == train, found[name][0], numpy.nan)[order] for name in spaces
    }
    return {"sample": samples[order], "train": images[train[order]], "nearness": nearness[order], **of_pair}


def picture(found: "Arrays", generated: ImagesOf, train: ImagesOf) -> bytes:
    return copying_picture(generated(found["sample"]), train(found["train"]))


def copying_picture(samples: "torch.Tensor", train: "torch.Tensor") -> bytes:
    """A PNG of pairs: samples uint8 (n, C, H, W) in the first row, below each its nearest train image."""
    import torch

    from gan_core.images import grid_png

    return grid_png(torch.cat([samples, train]), len(samples), scale=max(1, 48 // samples.shape[-1]))


def settings(comparison: Comparison) -> str:
    kept = len(comparison.generated[FEATURES]), len(comparison.real[FEATURES])
    return f"copying={kept[0]}/{kept[1]} against {comparison.held_out.count}"


add_metric(
    "copying",
    Metric(
        figures={
            "copying": Figure(
                "Copying",
                "lower",
                "Share of generated images that are nearer to a train image than 95% of unseen images are, "
                "less those of which chance would have as many near an unseen image; by pixels or by "
                "features, whichever is more. About 0% for unseen images; 100% for copies.",
                percent,
            ),
            "copying_pixels": Figure(
                "Copying, pixels",
                "lower",
                "The same share by pixels at 16x16, shifts of one pixel allowed: noise does not hide a copy.",
                percent,
            ),
            "copying_features": Figure(
                "Copying, features", "lower", "The same share by the extractor's features.", percent
            ),
            "near_train": Figure(
                "Near train images",
                None,
                "Share of generated images that are nearer to a train image than 95% of unseen images are, "
                "copies or not: blurred ones are near any image. About 5% for unseen images.",
                percent,
            ),
            "ct_score": Figure(
                "C_T",
                None,
                "Whether generated images are nearer to training images than unseen ones are, as a z-score "
                "(Meehan et al. 2020): above 0 they are farther, below 0 nearer. Copies are far below 0, but "
                "so are blurred images that lie among the commonest ones: it is no proof of copying.",
                decimal,
            ),
            "authenticity": Figure(
                "AuthPct",
                None,
                "Share of generated images that are farther from their nearest training image than that one "
                "is from its own (Alaa et al. 2022). Near 0 is copying; weak generators come near 100%.",
                percent,
            ),
            "authenticity_held_out": Figure(
                "AuthPct of unseen images",
                None,
                "The same share of the test images: what no copy has.",
                percent,
            ),
        },
        compute=compute,
        in_overview=True,
        interval=interval,
        generated=(FEATURES, PIXELS),
        real=(FEATURES, PIXELS, DISTANCES),
        held_out=True,
        evidence=evidence,
        picture=picture,
        settings=settings,
        picture_title="Samples and, below each, the training image that is nearest to it",
        question="copying",
        version="2",
        position=17,
    ),
)
