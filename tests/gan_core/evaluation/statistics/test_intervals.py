import numpy as np
import pytest
import torch
from scipy import stats

from gan_core.evaluation.statistics.intervals import (
    frechet_error,
    frechet_interval,
    kernel_error,
    kernel_interval,
    mean_interval,
    seeds_interval,
    share_interval,
)
from gan_core.evaluation.statistics.kernel_sums import kernel_sums, subset_distances
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, frechet_distance

TRIALS = 400
# 93 to 97% is what is asked for; a share of 400 trials has a standard error of 1.1%, and the truth, itself
# the mean of the trials, adds a little: three of them on either side.
LEAST, MOST = 0.915, 0.985


def gaussian(features):
    return Gaussian(features.mean(axis=0), np.cov(features, rowvar=False), len(features))


def covered(values, intervals, truth=None):
    """The share of intervals that hold the expectation of the values."""
    truth = np.mean(values) if truth is None else truth
    return np.mean([low <= truth <= high for low, high in intervals])


# --- of means, shares and seeds ---------------------------------------------------------------------------


def test_a_mean_is_students():
    values = [4.36, 4.04, 3.60, 5.27, 3.45]
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)
    assert seeds_interval(values) == pytest.approx(expected)
    assert seeds_interval([4.36]) is None
    assert seeds_interval([]) is None


@pytest.mark.parametrize("successes, count", [(0, 20), (3, 40), (400, 400), (1999, 2000)])
def test_a_share_is_wilsons(successes, count):
    expected = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert share_interval(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert share_interval(0, 0) is None


# --- of the Fréchet distance ------------------------------------------------------------------------------


def test_the_influence_is_that_of_leaving_one_out():
    numbers = np.random.RandomState(2)
    real, features = numbers.normal(size=(500, 3)), numbers.normal(0.5, 1.5, (600, 3))
    reference = FrechetReference.of(gaussian(real))
    left_out = [
        frechet_distance(reference, gaussian(np.delete(features, i, axis=0))) for i in range(len(features))
    ]
    jackknife = np.sqrt(599 / 600 * np.square(left_out - np.mean(left_out)).sum())
    # Far from 0 all that is left of the variance is of the first order, which the jackknife has.
    assert frechet_error(reference, gaussian(features), features) == pytest.approx(jackknife, rel=0.02)


def test_the_second_order_is_that_of_the_closed_form_where_both_are_equal():
    numbers = np.random.RandomState(3)
    count, dimensions = 20_000, 6
    reference = FrechetReference(np.zeros(dimensions), np.eye(dimensions), np.eye(dimensions), 10**9)
    features = numbers.normal(size=(count, dimensions))
    # n times the distance is the sum of D and of D (D + 1) / 2 squares of normal variables: |mean|^2, of
    # weight 1, and the entries of the covariance, off the diagonal of weight 1/2 and on it 1/2, each taken
    # twice.
    pairs = dimensions * (dimensions - 1) / 2
    expected = np.sqrt(2 * dimensions + 2 * pairs / 4 + 2 * dimensions / 4) / count
    error = frechet_error(reference, gaussian(features), features)
    assert expected * 0.9 < error < expected * 1.5


@pytest.mark.parametrize("kind", ["normal", "rectified", "heavy"])
@pytest.mark.parametrize("apart", ["near", "far"])
def test_intervals_of_fid_hold_the_expected_fid(kind, apart):
    numbers = np.random.RandomState(4)
    count, dimensions = 400, 24
    shape = {
        "normal": lambda z: z,
        "rectified": lambda z: np.maximum(z, 0),
        "heavy": lambda z: np.sign(z) * z**2 / 1.7,
    }[kind]
    scales = 1 / np.sqrt(np.arange(1, dimensions + 1))
    mixing = np.linalg.qr(numbers.normal(size=(dimensions, dimensions)))[0] * scales
    other, shift = (mixing * 1.1, 0.05) if apart == "near" else (mixing[:, ::-1], 0.3)
    reference = FrechetReference.of(gaussian(shape(numbers.normal(size=(2000, dimensions))) @ mixing.T))
    values, intervals = [], []
    for _ in range(TRIALS):
        features = shape(numbers.normal(size=(count, dimensions))) @ other.T + shift
        values.append(frechet_distance(reference, gaussian(features)))
        intervals.append(frechet_interval(values[-1], reference, gaussian(features), features))
    assert LEAST <= covered(values, intervals) <= MOST


def test_dimensions_that_never_vary_change_no_interval():
    numbers = np.random.RandomState(5)
    real, fake = numbers.normal(size=(300, 4)), numbers.normal(0.3, 1, (300, 4))
    still = np.zeros((300, 3))
    plain, padded = [
        frechet_interval(1.0, FrechetReference.of(gaussian(r)), gaussian(f), f)
        for r, f in ((real, fake), (np.hstack([real, still]), np.hstack([fake, still])))
    ]
    assert padded == pytest.approx(plain, rel=1e-6)


def test_repeated_images_have_an_interval_too():
    numbers = np.random.RandomState(6)
    real, few = numbers.normal(size=(300, 20)), numbers.normal(size=(10, 20))
    fake = few[numbers.randint(0, 10, 400)]
    reference = FrechetReference.of(gaussian(real))
    value = frechet_distance(reference, gaussian(fake))
    low, high = frechet_interval(value, reference, gaussian(fake), fake)
    assert 0 < low < value < high < 2 * value


def test_too_few_samples_have_no_interval():
    numbers = np.random.RandomState(7)
    real, fake = numbers.normal(size=(300, 20)), numbers.normal(size=(39, 20))
    reference = FrechetReference.of(gaussian(real))
    assert frechet_interval(1.0, reference, gaussian(fake), fake) is None
    enough = numbers.normal(size=(40, 20))
    assert frechet_interval(1.0, reference, gaussian(enough), enough) is not None
    assert frechet_interval(0.0, reference, gaussian(enough), enough) is None


# --- of the kernel distance -------------------------------------------------------------------------------


@pytest.mark.parametrize("subsets, size", [(100, 100), (20, 80)])
@pytest.mark.parametrize("offset", [0.3, 0.6])
def test_intervals_of_kid_hold_the_expected_kid(subsets, size, offset):
    numbers = np.random.RandomState(8)

    def draw(count, shift):
        return torch.from_numpy(np.maximum(numbers.normal(shift, 1, (count, 12)), 0))

    real = draw(250, 0)
    values, intervals = [], []
    for _ in range(TRIALS):
        fake = draw(200, offset)
        values.append(subset_distances(fake, real, subsets=subsets, size=size, seed=0).mean())
        sums = kernel_sums(fake, real)
        intervals.append(kernel_interval(values[-1], sums, subsets=subsets, size=size))
    assert LEAST <= covered(values, intervals) <= MOST


def test_the_error_of_kid_does_not_vanish_with_the_subsets_spread():
    # One subset, which is the whole set: its standard deviation over subsets is 0.
    numbers = np.random.RandomState(9)
    x, z = (torch.from_numpy(numbers.normal(shift, 1, (120, 5))) for shift in (0.3, 0))
    distances = subset_distances(x, z, subsets=10, size=120, seed=0)
    assert distances.std() < 1e-12
    assert kernel_error(kernel_sums(x, z), 10, 120) > 0.01


# --- of the Inception Score -------------------------------------------------------------------------------


def test_intervals_of_ten_parts_hold_the_expected_score():
    from gan_core.evaluation.metrics.base import Batch, Comparison, ImageSet
    from gan_core.evaluation.metrics.inception_score import InceptionScore, interval

    generator = torch.Generator().manual_seed(0)
    values, intervals = [], []
    for _ in range(TRIALS):
        logits = 2 * torch.randn(300, 6, generator=generator)
        score = InceptionScore(300)
        score.update(Batch(torch.empty(0), logits[:, :0], logits))
        parts = score.finish()
        values.append(parts.mean())
        intervals.append(interval(Comparison(ImageSet(300, {"inception_score": parts}))))
    assert LEAST <= covered(values, intervals) <= MOST
