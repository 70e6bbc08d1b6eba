"""Mean and covariance of features, gathered batch by batch, and the Frechet distance of two Gaussians; and a
choice of the features themselves."""

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
    """Streaming mean and covariance of (N, D) features: the memory, D x D, does not grow with N.

    A batch is centred on its own mean in float64 and merged with the rest by the pairwise update of Chan,
    Golub and LeVeque 1979, so that a large common offset loses no precision.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: torch.Tensor | None = None
        self.scatter: torch.Tensor | None = None

    def update(self, features: torch.Tensor) -> None:
        """Add features (B, D). NaN, infinity or another D is an `EvaluationError`."""
        _check_features(features)
        features = features.double()
        if not len(features):
            return
        mean = features.mean(dim=0)
        centred = features - mean
        self._merge(len(features), mean, centred.T @ centred)

    def merge(self, other: "Moments") -> None:
        """Add what another accumulator has seen, as if its images had come here."""
        if other.count:
            self._merge(other.count, other.mean, other.scatter)

    def gaussian(self) -> Gaussian:
        """What was gathered; an `EvaluationError` if it is fewer than two images."""
        if self.count < 2:
            raise EvaluationError(
                f"a covariance needs at least 2 images, but there is {self.count}: evaluate more images"
            )
        sigma = self.scatter / (self.count - 1)
        return Gaussian(self.mean.cpu().numpy(), sigma.cpu().numpy(), self.count)

    def _merge(self, count: int, mean: torch.Tensor, scatter: torch.Tensor) -> None:
        if self.mean is None:
            self.count, self.mean, self.scatter = count, mean.clone(), scatter.clone()
            return
        if mean.shape != self.mean.shape:
            raise EvaluationError(
                f"features of {len(mean)} dimensions do not merge with features of {len(self.mean)}: "
                "use one extractor for both"
            )
        total = self.count + count
        delta = mean - self.mean
        self.scatter += scatter + torch.outer(delta, delta) * (self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total


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

    def rows_of(self, batch: Batch) -> torch.Tensor:
        """A row (B, D) of each image."""
        raise NotImplementedError


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

    |mu_r - mu|^2 + tr sigma_r + tr sigma - 2 tr (sigma_r^1/2 sigma sigma_r^1/2)^1/2. The matrix under the
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


def _check_features(features: torch.Tensor) -> None:
    if features.dim() != 2:
        raise EvaluationError(f"features must be (images, dimensions), not {tuple(features.shape)}")
    if not torch.isfinite(features).all():
        bad = int((~torch.isfinite(features).all(dim=1)).sum())
        raise EvaluationError(
            f"the features of {bad} of {len(features)} images are NaN or infinite: "
            "look at the images and at the extractor's weights"
        )
