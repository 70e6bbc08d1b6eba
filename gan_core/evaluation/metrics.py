"""The metrics: features -> statistics -> number, in one registry.

An `Accumulator` sees the features of a set of images once, batch by batch, and gathers what every metric
needs; `METRICS` turns the gathered statistics into figures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.statistics import FrechetReference, Gaussian, Moments, frechet_distance

# The settings of torch-fidelity (and of the papers), with which our figures agree.
RNG_SEED = 2020
INCEPTION_SCORE_SPLITS = 10
KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000
# KID draws its subsets from at most so many features of a set; a larger set is thinned once, by its seed.
MAX_KID_FEATURES = 10_000


class InceptionScore:
    """Streaming Inception Score (Salimans et al. 2016): exp of the mean KL(p(y|x) || p(y)) of each split.

    Agrees with torch-fidelity's `isc_features_to_metric`: image i belongs to the split in which its shuffled
    position lies. Only a sum of p and of p log p is kept for each split, with
    KL = mean(sum p log p) - sum q log q where q = mean(p).
    """

    def __init__(
        self,
        count: int,
        *,
        splits: int = INCEPTION_SCORE_SPLITS,
        shuffle: bool = True,
        seed: int = RNG_SEED,
    ):
        if count < splits:
            raise EvaluationError(
                f"the Inception Score in {splits} splits needs at least {splits} images, but there are "
                f"{count}: evaluate more images"
            )
        order = np.random.RandomState(seed).permutation(count) if shuffle else np.arange(count)
        self.split_of = np.empty(count, dtype=np.int64)
        for split in range(splits):
            self.split_of[order[split * count // splits : (split + 1) * count // splits]] = split
        self.sizes = np.bincount(self.split_of, minlength=splits)
        self.seen = 0
        self.probability_sums: torch.Tensor | None = None
        self.negative_entropy_sums: torch.Tensor | None = None

    def update(self, logits: torch.Tensor) -> None:
        """Add logits (B, K) of the next B images."""
        log_p = logits.double().log_softmax(dim=1)
        p = log_p.exp()
        if self.probability_sums is None:
            self.probability_sums = p.new_zeros(len(self.sizes), p.shape[1])
            self.negative_entropy_sums = p.new_zeros(len(self.sizes))
        split = torch.from_numpy(self.split_of[self.seen : self.seen + len(p)]).to(p.device)
        self.probability_sums.index_add_(0, split, p)
        self.negative_entropy_sums.index_add_(0, split, (p * log_p).sum(dim=1))
        self.seen += len(p)

    def scores(self) -> tuple[float, float]:
        """Mean and standard deviation (population) over the splits."""
        sizes = torch.from_numpy(self.sizes).double()
        q = self.probability_sums.cpu() / sizes[:, None]
        kl = self.negative_entropy_sums.cpu() / sizes - torch.xlogy(q, q).sum(dim=1)
        scores = kl.exp()
        return float(scores.mean()), float(scores.std(correction=0))


def kernel_inception_distance(
    fake: torch.Tensor,
    real: torch.Tensor,
    *,
    subsets: int = KID_SUBSETS,
    subset_size: int = KID_SUBSET_SIZE,
    seed: int = RNG_SEED,
) -> tuple[float, float]:
    """KID (Binkowski et al. 2018) of features (N, D) and (M, D): mean and standard deviation over subsets.

    The unbiased squared MMD with the kernel (x.y / D + 1)^3, over subsets drawn exactly as torch-fidelity's
    `kid_features_to_metric(fake, real)` draws them, in float64. May be slightly negative. Fewer than
    `subset_size` images in a set, or sets of other D, are an `EvaluationError`.
    """
    if fake.shape[1] != real.shape[1]:
        raise EvaluationError(
            f"features of {fake.shape[1]} and of {real.shape[1]} dimensions do not compare: use one extractor"
        )
    if not 2 <= subset_size <= min(len(fake), len(real)):
        raise EvaluationError(
            f"KID subsets of {subset_size} images cannot be drawn from {len(fake)} generated and "
            f"{len(real)} real images: choose a size from 2 to the smaller of them"
        )
    generator = np.random.RandomState(seed)
    fake, real = fake.double(), real.double()
    values = []
    for _ in range(subsets):
        x = fake[generator.choice(len(fake), subset_size, replace=False)]
        y = real[generator.choice(len(real), subset_size, replace=False)]
        values.append(_squared_mmd(x, y))
    return float(np.mean(values)), float(np.std(values))


def kid_subset_size(fake_images: int, real_images: int) -> int:
    """1000 as in the paper's protocol, or what both sets have."""
    return min(KID_SUBSET_SIZE, fake_images, real_images)


def _squared_mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased estimate for two (m, D) float64 subsets (Gretton et al. 2012, lemma 6)."""
    m = len(x)
    within = _off_diagonal_sum(x) + _off_diagonal_sum(y)
    across = _polynomial_kernel(x, y).sum()
    return float(within / (m * (m - 1)) - 2 * across / (m * m))


def _off_diagonal_sum(x: torch.Tensor) -> torch.Tensor:
    kernel = _polynomial_kernel(x, x)
    return kernel.sum() - kernel.trace()


def _polynomial_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    base = (x @ y.T).div_(x.shape[1]).add_(1)
    return base * base * base


@dataclass(frozen=True)
class ImageSetStatistics:
    """All that the metrics need to know of a set of images.

    `features` is (n, D) float32 with n at most `MAX_KID_FEATURES`. `inception_score` is (mean, standard
    deviation) and `class_accuracy` is in 0..1; None where the extractor has no classes or the set no labels.
    """

    gaussian: Gaussian
    features: torch.Tensor
    inception_score: tuple[float, float] | None = None
    class_accuracy: float | None = None


@dataclass(frozen=True)
class RealStatistics:
    """The side of the real images: Gaussian with its root, and (n, D) float32 features for KID."""

    frechet: FrechetReference
    features: torch.Tensor

    @classmethod
    def of(cls, statistics: ImageSetStatistics) -> "RealStatistics":
        return cls(FrechetReference.of(statistics.gaussian), statistics.features)


class Accumulator:
    """Gathers the statistics of `count` images in one pass over their features.

    `scored`: whether the logits are of classes, so that an Inception Score is taken. `seed` chooses the
    features that are kept for KID where there are more than `MAX_KID_FEATURES`.
    """

    def __init__(self, count: int, *, scored: bool = False, seed: int = 0):
        self.count, self.seen = count, 0
        self.moments = Moments()
        self.inception_score = InceptionScore(count) if scored else None
        self.kept = np.ones(count, dtype=bool)
        if count > MAX_KID_FEATURES:
            self.kept[:] = False
            chosen = np.random.RandomState(seed).choice(count, MAX_KID_FEATURES, replace=False)
            self.kept[chosen] = True
        self.features: list[torch.Tensor] = []
        self.recognised = self.labelled = 0

    def update(
        self,
        features: torch.Tensor,
        logits: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> None:
        """Add features (B, D), logits (B, K) and int64 labels (B,) of the next B images."""
        if self.seen + len(features) > self.count:
            raise EvaluationError(f"more than the {self.count:,} images that were announced: read them again")
        self.moments.update(features)
        kept = torch.from_numpy(self.kept[self.seen : self.seen + len(features)])
        self.features.append(features.float().cpu()[kept])
        if self.inception_score is not None:
            self.inception_score.update(logits)
        if labels is not None and logits is not None:
            self.recognised += int((logits.argmax(dim=1).cpu() == labels.cpu()).sum())
            self.labelled += len(labels)
        self.seen += len(features)

    def finish(self) -> ImageSetStatistics:
        """The statistics; an `EvaluationError` if fewer images came than were announced."""
        if self.seen != self.count:
            raise EvaluationError(f"{self.seen:,} images came of the {self.count:,} that were announced")
        return ImageSetStatistics(
            gaussian=self.moments.gaussian(),
            features=torch.cat(self.features),
            inception_score=self.inception_score.scores() if self.inception_score else None,
            class_accuracy=self.recognised / self.labelled if self.labelled else None,
        )


Figures = dict[str, float | None]


@dataclass(frozen=True)
class Metric:
    """A metric's figures from the statistics of the generated and, if `against_real`, of the real images."""

    against_real: bool
    compute: Callable[[ImageSetStatistics, RealStatistics | None], Figures]


def _fid(fake: ImageSetStatistics, real: RealStatistics) -> Figures:
    return {"fid": frechet_distance(real.frechet, fake.gaussian)}


def _kid(fake: ImageSetStatistics, real: RealStatistics) -> Figures:
    size = kid_subset_size(len(fake.features), len(real.features))
    mean, deviation = kernel_inception_distance(fake.features, real.features, subset_size=size)
    return {"kid": mean, "kid_std": deviation}


def _inception_score(fake: ImageSetStatistics, real: RealStatistics | None) -> Figures:
    mean, deviation = fake.inception_score or (None, None)
    return {"inception_score": mean, "inception_score_std": deviation}


def _class_accuracy(fake: ImageSetStatistics, real: RealStatistics | None) -> Figures:
    return {"class_accuracy": fake.class_accuracy}


METRICS: dict[str, Metric] = {
    "fid": Metric(True, _fid),
    "kid": Metric(True, _kid),
    "is": Metric(False, _inception_score),
    "accuracy": Metric(False, _class_accuracy),
}


def compute_metrics(
    names: list[str], fake: ImageSetStatistics, real: RealStatistics | None = None
) -> Figures:
    """The figures of the named metrics: fid, kid, kid_std, inception_score, inception_score_std,
    class_accuracy. An unknown name, or a missing real side, is an `EvaluationError`."""
    check_metric_names(names)
    figures: Figures = {}
    for name in names:
        if METRICS[name].against_real and real is None:
            raise EvaluationError(f"metric `{name}` compares with real images: name them")
        figures.update(METRICS[name].compute(fake, real))
    return figures


def check_metric_names(names: list[str]) -> None:
    """An `EvaluationError` that lists the metrics there are, if `names` is empty or holds another."""
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        wrong = f"there is no metric `{unknown[0]}`" if unknown else "no metric is named"
        raise EvaluationError(f"{wrong}: choose from {', '.join(METRICS)}")
