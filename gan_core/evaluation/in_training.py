"""The small evaluation of a generator while it trains: a cheap FID, precision and recall, how varied the
recognised classes are, and how diverse its samples."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gan_core.data.loading import load_resident
from gan_core.data.shard_manifest import split_of
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.metrics.neighbourhoods import K
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, Moments, frechet_distance
from gan_core.sampling import generate
from gan_core.spacing import evenly_chosen
from gan_core.store import Manifest, Store

BATCH_SIZE = 128
# Nearest neighbours are sought among so many images, by features or at so many pixels.
COMPARED_IMAGES = 1_000
COMPARED_SIDE = 32
# The figures that the extractor decides.
BY_FEATURES = ("fid", "fid_untrained", "precision", "recall", "class_perplexity", "real_class_perplexity")

SHARDS_READ = 4


def read_real_images(store: Store, shards: Manifest, count: int) -> Tensor:
    """At most `count` train images, uint8 (n, C, H, W), evenly from a few shards that are evenly chosen."""
    per_shard = split_of(shards, "train")["images_per_shard"]
    read = evenly_chosen(len(per_shard), SHARDS_READ)
    first_images = np.cumsum([0, *per_shard])
    available = np.concatenate([np.arange(first_images[shard], first_images[shard + 1]) for shard in read])
    numbers = available[evenly_chosen(len(available), count)]
    return load_resident(store, shards, "train", numbers=numbers).images


class InTrainingEvaluation:
    """Compares samples of fixed latents with real images, uint8 (n, C, H, W), as many of each.

    `extractor` gives the features of the FID, of precision and of recall, and the classes where it knows
    any; without one only the diversity is measured. The figures are for comparing moments of one run: so few
    images make an FID higher than the one of the leaderboard.
    """

    def __init__(self, real: Tensor, extractor: FeatureExtractor | None, seed: int):
        self.extractor, self.seed, self.count = extractor, seed, len(real)
        self.real_distance = nearest_neighbour_distance(real)
        self.reference = self.real_features = self.real_radii = self.real_classes = None
        if extractor:
            gaussian, self.real_features, self.real_classes = self._features(real.split(BATCH_SIZE))
            self.reference = FrechetReference.of(gaussian)
            enough = len(self.real_features) > K
            self.real_radii = squared_radii(self.real_features) if enough else None

    def measure(self, sampler: nn.Module) -> dict[str, float]:
        """`fid`, `precision` and `recall` (where there is an extractor), `class_perplexity` and
        `real_class_perplexity` (where it knows classes; see `perplexity`) and `diversity`: the samples' mean
        distance to their nearest neighbour over that of the real images. Near 1 they spread as real images
        do; near 0 they repeat themselves. `sampler` is in evaluation mode."""
        batches = [
            images for images, _ in generate(sampler, self.count, seed=self.seed, batch_size=BATCH_SIZE)
        ]
        row: dict[str, float] = {}
        if self.reference:
            gaussian, features, classes = self._features(batches)
            row["fid"] = frechet_distance(self.reference, gaussian)
            row |= precision_and_recall(features, self.real_features, self.real_radii)
            if classes is not None:
                row["class_perplexity"] = perplexity(classes)
                row["real_class_perplexity"] = perplexity(self.real_classes)
        distance = nearest_neighbour_distance(torch.cat(batches))
        # Real images that are all the same leave nothing to be less diverse than.
        row["diversity"] = distance / self.real_distance if self.real_distance else 1.0
        return row

    def _features(self, batches: Iterable[Tensor]) -> tuple[Gaussian, Tensor, Tensor | None]:
        """The moments of the features of all images, the features (n, D) of the first of them, and how many
        images are recognised as each class, int64 (K,), None where the extractor knows none."""
        moments, kept, classes = Moments(), [], None
        for number, images in enumerate(batches):
            features, logits = self.extractor.extract(images)
            moments.update(features)
            if logits is not None:
                recognised = logits.argmax(1).bincount(minlength=logits.shape[1])
                classes = recognised if classes is None else classes + recognised
            if number * BATCH_SIZE < COMPARED_IMAGES:
                kept.append(features.float().cpu())
        return moments.gaussian(), torch.cat(kept)[:COMPARED_IMAGES], classes


def perplexity(counts: Tensor) -> float:
    """exp of the entropy of the shares of these counts (K,), not all 0: K where all are equal, 1 where one
    has everything."""
    shares = counts.double() / counts.sum()
    return float(torch.special.entr(shares).sum().exp())


def precision_and_recall(
    generated: Tensor, real: Tensor, real_radii: Tensor | None = None
) -> dict[str, float]:
    """`precision` and `recall` (0..1) of features (m, D) and (n, D), by balls to the `K`-th neighbour, as the
    metrics of these names have them; empty for fewer images than that takes.

    `real_radii`: `squared_radii` of the real ones, where they are known.
    """
    if min(len(generated), len(real)) <= K:
        return {}
    of_real = squared_radii(real) if real_radii is None else real_radii
    centre = real.double().mean(dim=0)
    across, rounding = _squared_distances(generated.double() - centre, real.double() - centre)
    of_generated = squared_radii(generated)[:, None]
    in_real = across < of_real - rounding
    reached = across < of_generated - rounding
    return {
        "precision": float(in_real.any(dim=1).double().mean()),
        "recall": float(reached.any(dim=0).double().mean()),
    }


def squared_radii(features: Tensor) -> Tensor:
    """The squared distance of each of more than `K` rows (n, D) to its `K`-th nearest other one, (n,)."""
    centred = features.double() - features.double().mean(dim=0)
    others = _squared_distances(centred, centred)[0].fill_diagonal_(torch.inf)
    return others.topk(K, dim=1, largest=False).values[:, -1]


def _squared_distances(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Those of rows (m, D) and (n, D), float64, by one product of matrices, which is many times faster than
    their differences, and how far rounding may have moved two of them against each other, both (m, n).

    Rows that are equal have a distance of rounding, not 0: what differs by no more than that is equal.
    """
    norms = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
    # A sum of D products (Higham 2002, section 3.1), for the two that are compared.
    rounding = 4 * (left.shape[1] + 16) * torch.finfo(left.dtype).eps * norms
    return torch.addmm(norms, left, right.T, alpha=-2), rounding


def nearest_neighbour_distance(images: Tensor) -> float:
    """Mean Euclidean distance of each of the first 1,000 images to its nearest neighbour among them.

    uint8 (n, C, H, W), n at least 2, compared at 32 pixels or fewer.
    """
    small = images[:COMPARED_IMAGES].float()
    if small.shape[-1] > COMPARED_SIDE:
        small = functional.adaptive_avg_pool2d(small, COMPARED_SIDE)
    # In float64 sums of squared pixels, and of means of 4, 16 or 64 of them, are exact, also by a product of
    # matrices, which is many times faster than differences.
    flat = small.flatten(start_dim=1).double()
    squared = _squared_distances(flat, flat)[0].fill_diagonal_(torch.inf)
    return float(squared.min(dim=1).values.clamp(min=0).sqrt().mean())
