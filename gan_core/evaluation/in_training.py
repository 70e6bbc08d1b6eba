"""The small evaluation of a generator while it trains: a cheap FID, precision and recall, how varied the
recognised classes are, and how diverse its samples."""

import itertools
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gan_core.data.loading import load_resident
from gan_core.data.shard_manifest import split_of
from gan_core.devices import default_device
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.metrics.neighbourhoods import K
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, Moments, frechet_distance
from gan_core.sampling import generate_on_device
from gan_core.spacing import evenly_chosen
from gan_core.store import Manifest, Store

BATCH_SIZE = 128
# The moments look at the values of features, for which the host waits: so many batches come first.
BATCHES_AT_ONCE = Moments.BLOCK // BATCH_SIZE
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

    Images and features stay on the device that measures (`default_device`), which the host waits for once in
    `BATCHES_AT_ONCE` batches and for the figures.
    """

    def __init__(self, real: Tensor, extractor: FeatureExtractor | None, seed: int):
        self.extractor, self.seed, self.count = extractor, seed, len(real)
        self.device = default_device()
        self.real_distance = nearest_neighbour_distance(real[:COMPARED_IMAGES].to(self.device))
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
        drawn = generate_on_device(sampler, self.count, seed=self.seed, batch_size=BATCH_SIZE)
        batches = (images.to(self.device) for images, _ in drawn)
        first = list(itertools.islice(batches, BATCHES_AT_ONCE))  # no fewer than are compared
        row: dict[str, float] = {}
        if self.reference:
            gaussian, features, classes = self._features(itertools.chain(first, batches))
            row["fid"] = frechet_distance(self.reference, gaussian)
            row |= precision_and_recall(features, self.real_features, self.real_radii)
            if classes is not None:
                row["class_perplexity"] = perplexity(classes)
                row["real_class_perplexity"] = perplexity(self.real_classes)
        distance = nearest_neighbour_distance(torch.cat(first))
        # Real images that are all the same leave nothing to be less diverse than.
        row["diversity"] = distance / self.real_distance if self.real_distance else 1.0
        return row

    def _features(self, batches: Iterable[Tensor]) -> tuple[Gaussian, Tensor, Tensor | None]:
        """The moments of the features of all images, the features (n, D) of the first of them, and how many
        images are recognised as each class, int64 (K,), None where the extractor knows none."""
        moments, kept, recognised = Moments(), None, []
        batches = iter(batches)
        while group := list(itertools.islice(batches, BATCHES_AT_ONCE)):
            parts = [self.extractor.extract(images) for images in group]
            features = torch.cat([features for features, _ in parts])
            moments.update(features)
            kept = features if kept is None else kept
            recognised += [logits.argmax(1) for _, logits in parts if logits is not None]
        n_classes = parts[0][1].shape[1] if recognised else 0
        classes = torch.cat(recognised).bincount(minlength=n_classes) if recognised else None
        return moments.gaussian(), kept[:COMPARED_IMAGES], classes


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
    left, right = generated.double() - centre, real.double() - centre
    # What rounding may have moved two sums of D products against each other (Higham 2002, section 3.1): rows
    # that are equal have a distance of rounding, not 0, and lie in no ball without a width.
    rounding = 4 * (left.shape[1] + 16) * torch.finfo(left.dtype).eps
    across = _squared_distances(left, right, rounding)
    in_real = (across < of_real).any(dim=1)
    reached = (across < squared_radii(generated)[:, None]).any(dim=0)
    return {"precision": float(in_real.double().mean()), "recall": float(reached.double().mean())}


def squared_radii(features: Tensor) -> Tensor:
    """The squared distance of each of more than `K` rows (n, D) to its `K`-th nearest other one, (n,)."""
    centred = features.double() - features.double().mean(dim=0)
    others = _squared_distances(centred, centred).fill_diagonal_(torch.inf)
    return others.topk(K, dim=1, largest=False).values[:, -1]


def _squared_distances(left: Tensor, right: Tensor, margin: float = 0.0) -> Tensor:
    """Those of rows (m, D) and (n, D), float64 (m, n), by one product of matrices, which is many times faster
    than their differences; plus a `margin`, as a share of the sum of both rows' squared norms."""
    norms = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
    return torch.addmm(norms, left, right.T, beta=1 + margin, alpha=-2)


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
    squared = _squared_distances(flat, flat).fill_diagonal_(torch.inf)
    return float(squared.min(dim=1).values.clamp(min=0).sqrt().mean())
