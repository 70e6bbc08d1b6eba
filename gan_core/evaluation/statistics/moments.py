"""Mean and covariance of features, gathered batch by batch, and the Frechet distance of two Gaussians; and a
choice of the features themselves."""

import abc
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from gan_core.errors import EvaluationError
from gan_core.evaluation.metrics.base import Batch, Gatherer

# Of a larger set so many images are kept, chosen once by its seed: all of CIFAR-10.
MAX_KEPT = 50_000
# Images are compared pixel by pixel at this size at most: distances cost as many operations as pixels.
PIXELS_SIDE = 16


@dataclass(frozen=True)
class Gaussian:
    """`mu` (D,) and `sigma` (D, D) in float64, of `count` images; sigma is the unbiased covariance."""

    mu: np.ndarray
    sigma: np.ndarray
    count: int


class Moments:
    """Streaming mean and covariance of (N, D) features: the memory, D x D and a block, does not grow with N.

    Features are gathered to blocks of `BLOCK` rows, whose ends do not depend on the batches. A block is
    centred on its own mean in float64 and merged with the rest by the pairwise update of Chan, Golub and
    LeVeque 1979, so that a large common offset loses no precision.
    """

    # A product of 64 rows writes D x D numbers for little work: many times slower at 2,048 dimensions.
    BLOCK = 1_024

    def __init__(self) -> None:
        self.count = 0
        self.block: torch.Tensor | None = None
        self.waiting = 0
        self.merged = _Merged()

    def update(self, features: torch.Tensor) -> None:
        """Add features (B, D). NaN, infinity or another D is an `EvaluationError`."""
        _check_features(features)
        if not len(features):
            return
        if self.block is None:
            shape = (self.BLOCK, features.shape[1])
            self.block = torch.empty(shape, dtype=torch.float64, device=features.device)
        _check_dimensions(features.shape[1], self.block.shape[1])
        self.count += len(features)
        while len(features):
            taken = features[: self.BLOCK - self.waiting]
            self.block[self.waiting : self.waiting + len(taken)] = taken
            self.waiting += len(taken)
            if self.waiting == self.BLOCK:
                self._empty_block()
            features = features[len(taken) :]

    def merge(self, other: "Moments") -> None:
        """Add what another accumulator has seen, as if its images had come here."""
        if not other.count:
            return
        other._empty_block()
        self._empty_block()
        self.merged.add(other.merged)
        self.count += other.count
        if self.block is None:
            self.block = torch.empty_like(other.block)

    def gaussian(self) -> Gaussian:
        """What was gathered; an `EvaluationError` if it is fewer than two images."""
        if self.count < 2:
            raise EvaluationError(
                f"a covariance needs at least 2 images, but there is {self.count}: evaluate more images"
            )
        self._empty_block()
        return self.merged.gaussian()

    def _empty_block(self) -> None:
        if not self.waiting:
            return
        block = self.block[: self.waiting]
        mean = block.mean(dim=0)
        # In place: the block is not needed any more.
        block -= mean
        self.merged.add(_Merged(self.waiting, mean), block)
        self.waiting = 0


class _Merged:
    """The mean (D,) and the scatter (D, D) of `count` rows, of which the lower triangle is kept."""

    def __init__(self, count: int = 0, mean: torch.Tensor | None = None):
        self.count, self.mean = count, mean
        self.scatter: torch.Tensor | None = None

    def add(self, other: "_Merged", centred: torch.Tensor | None = None) -> None:
        """Merge with others, whose scatter is their own or that of `centred` (n, D)."""
        if self.mean is None:
            self.mean = torch.zeros_like(other.mean)
            self.scatter = other.mean.new_zeros(len(other.mean), len(other.mean))
        _check_dimensions(len(other.mean), len(self.mean))
        if centred is None:
            self.scatter += other.scatter
        else:
            _add_scatter(self.scatter, centred)
        total = self.count + other.count
        delta = other.mean - self.mean
        self.scatter.addr_(delta, delta, alpha=self.count * other.count / total)
        self.mean += delta * (other.count / total)
        self.count = total

    def gaussian(self) -> Gaussian:
        lower = self.scatter.tril()
        sigma = (lower + lower.tril(-1).T) / (self.count - 1)
        return Gaussian(self.mean.cpu().numpy().copy(), sigma.cpu().numpy(), self.count)


def _add_scatter(scatter: torch.Tensor, centred: torch.Tensor) -> None:
    """Add the lower triangle of centred^T centred (D, D) to `scatter`, in place."""
    if scatter.device.type != "cpu":
        scatter.addmm_(centred.T, centred)
        return
    from scipy.linalg.blas import dsyrk

    # BLAS counts by columns: the transposes are the same memory, and their upper triangle is this lower one.
    dsyrk(1.0, centred.numpy().T, beta=1.0, c=scatter.numpy().T, overwrite_c=1)


class GatheredMoments(Gatherer):
    """The statistic `MOMENTS`."""

    def __init__(self) -> None:
        self.moments = Moments()

    def update(self, batch: Batch) -> None:
        self.moments.update(batch.features)

    def finish(self) -> Gaussian:
        return self.moments.gaussian()


def kept_images(count: int, seed: int) -> np.ndarray:
    """The numbers (n,), ascending, of those of `count` images whose features and pixels are kept: all, or
    `MAX_KEPT` chosen by the seed. They do not depend on the batches."""
    if count <= MAX_KEPT:
        return np.arange(count)
    return np.sort(np.random.RandomState(seed).choice(count, MAX_KEPT, replace=False))


class GatheredRows(Gatherer):
    """Something of each of the images of `kept_images`, a row an image."""

    def __init__(self, count: int, seed: int):
        self.kept = np.zeros(count, dtype=bool)
        self.kept[kept_images(count, seed)] = True
        self.rows: list[torch.Tensor] = []
        self.seen = 0

    def update(self, batch: Batch) -> None:
        kept = torch.from_numpy(self.kept[self.seen : self.seen + len(batch)])
        self.rows.append(self.rows_of(batch).cpu()[kept])
        self.seen += len(batch)

    def finish(self) -> torch.Tensor:
        return torch.cat(self.rows)

    @abc.abstractmethod
    def rows_of(self, batch: Batch) -> torch.Tensor:
        """A row (B, D) of each image."""


class GatheredFeatures(GatheredRows):
    """The statistic `FEATURES`."""

    def rows_of(self, batch: Batch) -> torch.Tensor:
        return batch.features.float()


class GatheredPixels(GatheredRows):
    """The statistic `PIXELS`."""

    def rows_of(self, batch: Batch) -> torch.Tensor:
        images = batch.images
        if max(images.shape[-2:]) > PIXELS_SIDE:
            small = functional.adaptive_avg_pool2d(images.float(), PIXELS_SIDE)
            images = small.round().to(torch.uint8)
        return images.flatten(start_dim=1)


class GatheredLabels(GatheredRows):
    """The class of each image of which features are kept."""

    def rows_of(self, batch: Batch) -> torch.Tensor:
        return batch.labels


@dataclass(frozen=True)
class FrechetReference:
    """The Gaussian of the real images with the symmetric root of its covariance, which is what makes each
    Frechet distance against it cheap: `mu` (D,), `sigma` and `sigma_sqrt` (D, D), all float64."""

    mu: np.ndarray
    sigma: np.ndarray
    sigma_sqrt: np.ndarray
    count: int

    @classmethod
    def of(cls, gaussian: Gaussian) -> "FrechetReference":
        values, vectors = np.linalg.eigh(gaussian.sigma)
        # Rounding makes the zero eigenvalues of a singular covariance slightly negative.
        root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        return cls(gaussian.mu, gaussian.sigma, root, gaussian.count)


def frechet_distance(reference: FrechetReference, gaussian: Gaussian) -> float:
    """Squared 2-Wasserstein distance of two Gaussians: the FID (Heusel et al. 2017) for Inception features.

    `|mu_r - mu|^2 + tr sigma_r + tr sigma - 2 tr (sigma_r^1/2 sigma sigma_r^1/2)^1/2`. The matrix under the
    last root is symmetric, so its trace is a sum over `eigvalsh`; in exact arithmetic it is the trace of
    (sigma_r sigma)^1/2 that the reference implementations (TTUR, pytorch-fid, torch-fidelity) take.
    """
    if reference.mu.shape != gaussian.mu.shape:
        raise EvaluationError(
            f"statistics of {len(reference.mu)} and of {len(gaussian.mu)} dimensions do not compare: "
            "use one extractor for both"
        )
    for name, array in (("real", reference.sigma_sqrt), ("generated", gaussian.sigma)):
        if not np.isfinite(array).all():
            raise EvaluationError(f"the covariance of the {name} images is not finite: look at the images")
    difference = reference.mu - gaussian.mu
    product = reference.sigma_sqrt @ gaussian.sigma @ reference.sigma_sqrt
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    trace_of_root = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    distance = difference @ difference + np.trace(reference.sigma) + np.trace(gaussian.sigma)
    # A distance is not negative; rounding takes that of two equal Gaussians just below zero.
    return max(float(distance - 2 * trace_of_root), 0.0)


def _check_dimensions(found: int, known: int) -> None:
    if found != known:
        raise EvaluationError(
            f"features of {found} dimensions do not merge with features of {known}: "
            "use one extractor for both"
        )


def _check_features(features: torch.Tensor) -> None:
    if features.dim() != 2:
        raise EvaluationError(f"features must be (images, dimensions), not {tuple(features.shape)}")
    if not torch.isfinite(features).all():
        bad = int((~torch.isfinite(features).all(dim=1)).sum())
        raise EvaluationError(
            f"the features of {bad} of {len(features)} images are NaN or infinite: "
            "look at the images and at the extractor's weights"
        )
