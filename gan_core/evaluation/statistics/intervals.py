"""95% intervals: of means, shares and seeds, and of the Fréchet and the kernel distance over other samples of
the same generator, given the real images.

Each function gives (low, high), or None where there are too few values. How often they hold the truth is
tested by simulation, and tabled by `benchmarks/intervals.py`.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gan_core.evaluation.statistics.kernel_sums import KernelSums
    from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian

Interval = tuple[float, float]

CONFIDENCE = 0.95
# The 97.5% quantile of the standard normal distribution.
NORMAL_QUANTILE = 1.959963984540054
# Pairs of samples that the second-order variance of a Fréchet distance is estimated from.
PAIRS = 4_000
# The influence of a sample is estimated from the covariance of all: near as many samples as dimensions, that
# covariance is too far from the generator's own, and the interval is too short.
SAMPLES_PER_DIMENSION = 2


# --- of means, shares and seeds ---------------------------------------------------------------------------


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Student's t interval of the expectation of independent values (n,), n at least 2."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None
    error = values.std(ddof=1) / np.sqrt(len(values))
    return _around(float(values.mean()), float(error), _student(len(values) - 1))


def seeds_interval(values: Sequence[float]) -> Interval | None:
    """The interval of a figure's expectation over training seeds, from a value a seed. One seed: None."""
    return mean_interval(values)


def share_interval(successes: float, count: int) -> Interval | None:
    """Wilson's interval (1927) of a probability, of `successes` among `count` independent trials.

    It stays within 0 and 1 and keeps a width where all or none succeed.
    """
    if count < 1:
        return None
    share, z2 = successes / count, NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL_QUANTILE * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


@functools.cache
def _student(degrees: int) -> float:
    from scipy.special import stdtrit  # loads in a moment, which scipy.stats does not

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def _around(value: float, error: float, quantile: float = NORMAL_QUANTILE) -> Interval:
    return value - quantile * error, value + quantile * error


# --- of the Fréchet distance ------------------------------------------------------------------------------


def frechet_interval(
    value: float, reference: "FrechetReference", generated: "Gaussian", features: np.ndarray
) -> Interval | None:
    """The interval of the expected Fréchet distance of as many samples, around its `value`.

    `features` (n, D) are those of the samples, or of some of them. None for fewer than
    `SAMPLES_PER_DIMENSION` samples a dimension. The bias of the distance by the number of samples is not
    taken out: it is in the expectation as well. The ends are `value` over and times a factor, for no distance
    is negative.
    """
    dimensions = len(generated.mu)
    if generated.count < SAMPLES_PER_DIMENSION * dimensions or value <= 0:
        return None
    error = frechet_error(reference, generated, np.asarray(features, dtype=np.float64))
    if error > value:  # of the same images twice: a distance of rounding
        return None
    factor = float(np.exp(NORMAL_QUANTILE * error / value))
    return value / factor, value * factor


def frechet_error(reference: "FrechetReference", generated: "Gaussian", features: np.ndarray) -> float:
    """The standard error of the Fréchet distance over other samples, given the real images.

    The distance is a smooth function of the mean and covariance of the samples: the infinitesimal jackknife
    (Jaeckel 1972) sums the squares of each sample's influence, which the derivative of the distance gives
    (Rippl, Munk and Sturm 2016). With d = x - mu, T = R (R S R)^-1/2 R and R the root of the real covariance:

        influence(x) = 2 (mu - mu_r).d + d'(1 - T) d - tr (1 - T) S

    Near distance 0 the derivative vanishes, and what is left is of second order: with the eigenvalues l of
    R S R, z = U'R d and c_kl = 1 / (sqrt l_k sqrt l_l (sqrt l_k + sqrt l_l)), two samples give

        g(x, y) = d_x.d_y + 1/2 sum_kl c_kl (z_k z_l - [k = l] l_k)(x) (z_k z_l - [k = l] l_k)(y)

    with the variance 2 E g^2 / n^2, as of any degenerate U-statistic (Serfling 1980, chapter 5). The
    influences, which are taken at the estimate in place of the truth, hold it twice on average: that is taken
    out.
    """
    root = reference.sigma_sqrt
    eigenvalues, vectors = _spectrum(root @ generated.sigma @ root)
    offsets = features - generated.mu
    along = offsets @ (root @ vectors)
    roots = np.sqrt(eigenvalues)
    influence = (
        2 * offsets @ (generated.mu - reference.mu)
        + np.square(offsets).sum(axis=1)
        - (np.square(along) / roots).sum(axis=1)
    )
    count = generated.count
    first = float(influence.var(ddof=1)) / count
    second = 2 * _mean_square_of_pairs(offsets, along, roots) / count**2
    return float(np.sqrt(max(first - 2 * second, 0.0) + second))


def _spectrum(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (r,) and vectors (D, r) of what is not zero but for rounding: no sample has a part in the
    rest, so that the inverse root on it is not needed."""
    eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = eigenvalues > eigenvalues.max(initial=0) * len(eigenvalues) * np.finfo(np.float64).eps
    return eigenvalues[kept], vectors[:, kept]


def _mean_square_of_pairs(offsets: np.ndarray, along: np.ndarray, roots: np.ndarray) -> float:
    """E g^2 over `PAIRS` pairs of different samples, always the same ones."""
    numbers, count = np.random.RandomState(0), len(offsets)
    first = numbers.randint(0, count, PAIRS)
    second = (first + numbers.randint(1, count, PAIRS)) % count
    weights = 1 / (np.outer(roots, roots) * (roots[:, None] + roots[None, :]))
    products = along[first] * along[second]
    squares = np.square(along[first]) + np.square(along[second])
    of_covariance = ((products @ weights) * products).sum(axis=1) - (squares / (2 * roots)).sum(axis=1)
    of_mean = (offsets[first] * offsets[second]).sum(axis=1)
    return float(np.square(of_mean + (of_covariance + roots.sum() / 2) / 2).mean())


# --- of the kernel distance -------------------------------------------------------------------------------


def kernel_error(sums: "KernelSums", subsets: int, size: int) -> float:
    """The standard error of the KID, a mean over subsets, over other samples, given the real images.

    The unbiased squared MMD is a U-statistic of the samples: its variance is 4 v / n + 2 w / n^2 with v the
    variance of E k(x, x') - E k(x, z) over x, and w that of what is left of k(x, x') (Serfling 1980,
    chapter 5; Sutherland 2019). `own` is a mean of n - 1 and adds w / (n - 1) to the observed v. A mean over
    subsets does not use all pairs equally: a pair, and a sample, count as often as they were drawn. Each
    subset has its own real images, which adds 4 u / (S m), with u the variance of a subset's mean of k(x, z)
    about `cross`.
    """
    n, m = len(sums.own), len(sums.real)
    left_own = sums.own_square - 2 * np.square(sums.own).mean() + sums.own.mean() ** 2
    left_cross = (
        sums.cross_square
        - np.square(sums.cross).mean()
        - np.square(sums.real).mean()
        + sums.cross.mean() ** 2
    )
    first = max(float((sums.own - sums.cross).var(ddof=1)) - left_own / (n - 1), 0.0)
    drawn, drawn_pair = size / n, size * (size - 1) / (n * (n - 1))
    of_subset = left_cross / size * (1 - size / m)
    variance = (
        4 * first / n * _uneven(drawn, subsets)
        + 2 * left_own / (n * (n - 1)) * _uneven(drawn_pair, subsets)
        + 4 * of_subset / (subsets * size)
    )
    return float(np.sqrt(max(variance, 0.0)))


def _uneven(share: float, subsets: int) -> float:
    """How much larger the variance of a mean is over subsets that draw each part with this probability."""
    return 1 + (1 - share) / (share * subsets)


def kernel_interval(value: float, sums: "KernelSums", *, subsets: int, size: int) -> Interval:
    """The interval of the expected KID of as many samples and the same subsets, around its `value`.

    The squared distance of two means in the kernel's space is the KID and a bias c that the KID leaves out.
    The error of its root hardly depends on its size, while that of the KID grows with the KID: so the
    interval is symmetric about the root of KID + c, and squared.
    """
    bias = (sums.of_self - float(sums.own.mean())) * (1 / len(sums.own) + 1 / len(sums.real))
    if value + bias <= 0:
        return _around(value, kernel_error(sums, subsets, size))
    distance = float(np.sqrt(value + bias))
    low, high = _around(distance, kernel_error(sums, subsets, size) / (2 * distance))
    return max(low, 0.0) ** 2 - bias, high**2 - bias
