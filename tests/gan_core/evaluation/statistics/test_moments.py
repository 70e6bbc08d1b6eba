import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gan_core.errors import EvaluationError
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, Moments, frechet_distance


def features(count, dimensions, seed, scale=1.0, offset=0.0):
    generator = np.random.RandomState(seed)
    mixing = generator.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    return generator.normal(size=(count, dimensions)) @ mixing * scale + offset


def gathered(array, batches):
    moments = Moments()
    for part in np.array_split(array, batches):
        moments.update(torch.from_numpy(part))
    return moments


@pytest.mark.parametrize("batches", [1, 3, 97, 1000])
def test_streaming_is_numpy_cov_whatever_the_batches(batches):
    array = features(1000, 12, seed=0, offset=3)
    gaussian = gathered(array, batches).gaussian()
    assert gaussian.count == 1000
    np.testing.assert_allclose(gaussian.mu, array.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(gaussian.sigma, np.cov(array, rowvar=False), rtol=1e-9, atol=1e-12)


def test_float32_features_are_accumulated_in_float64():
    array = features(500, 6, seed=1).astype(np.float32)
    sigma = gathered(array, 20).gaussian().sigma
    np.testing.assert_allclose(sigma, np.cov(array.astype(np.float64), rowvar=False), rtol=1e-10)


def test_a_huge_offset_loses_no_precision():
    array = features(2000, 8, seed=2)
    shifted = array + 1e7
    plain, moved = gathered(array, 50).gaussian(), gathered(shifted, 50).gaussian()
    # 1e7 in float64 leaves 1e-9 of each number; the textbook E[x^2] - E[x]^2 would be off by 1e-2 here.
    np.testing.assert_allclose(moved.sigma, plain.sigma, atol=1e-7)


def test_merge_is_the_same_as_one_accumulator():
    array = features(300, 5, seed=3)
    left, right = gathered(array[:70], 3), gathered(array[70:], 2)
    left.merge(right)
    left.merge(Moments())
    whole = gathered(array, 1).gaussian()
    np.testing.assert_allclose(left.gaussian().sigma, whole.sigma, rtol=1e-12)
    np.testing.assert_allclose(left.gaussian().mu, whole.mu, rtol=1e-12)
    empty = Moments()
    empty.merge(gathered(array, 4))
    np.testing.assert_allclose(empty.gaussian().sigma, whole.sigma, rtol=1e-12)


def tensors(thing):
    for value in vars(thing).values():
        if isinstance(value, torch.Tensor):
            yield value
        elif hasattr(value, "__dict__"):
            yield from tensors(value)


def test_memory_does_not_grow_with_the_number_of_images():
    moments = gathered(features(5000, 4, seed=4), 100)
    assert sum(tensor.numel() for tensor in tensors(moments)) == Moments.BLOCK * 4 + 4 + 16


@pytest.mark.parametrize("count", [1023, 1024, 1025, 3000])
def test_the_batches_change_no_bit(count):
    array = features(count, 6, seed=8, offset=5)
    one, other = gathered(array, 1).gaussian(), gathered(array, 50).gaussian()
    assert np.array_equal(one.sigma, other.sigma) and np.array_equal(one.mu, other.mu)
    assert np.array_equal(one.sigma, one.sigma.T)
    np.testing.assert_allclose(one.sigma, np.cov(array, rowvar=False), rtol=1e-10, atol=1e-12)


def test_what_was_gathered_can_be_read_and_added_to():
    array = features(1500, 5, seed=9)
    moments = gathered(array[:700], 3)
    first = moments.gaussian()
    kept = first.sigma.copy(), first.mu.copy()
    moments.update(torch.from_numpy(array[700:]))
    np.testing.assert_allclose(moments.gaussian().sigma, np.cov(array, rowvar=False), rtol=1e-10)
    assert np.array_equal(first.sigma, kept[0]) and np.array_equal(first.mu, kept[1])


def test_float32_features_with_an_offset_of_1e4_keep_their_distance():
    array = features(3000, 8, seed=10).astype(np.float32) + np.float32(1e4)
    other = features(3000, 8, seed=11).astype(np.float32) + np.float32(1e4)
    exact = [
        Gaussian(a.mean(axis=0), np.cov(a, rowvar=False), len(a))
        for a in (array.astype(np.float64) - 1e4, other.astype(np.float64) - 1e4)
    ]
    ours = [gathered(a, 60).gaussian() for a in (array, other)]
    expected = frechet_distance(FrechetReference.of(exact[0]), exact[1])
    assert frechet_distance(FrechetReference.of(ours[0]), ours[1]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("count, dimensions", [(800, 24), (300, 64), (40, 64)])
def test_agrees_with_torch_fidelity_and_pytorch_fid(count, dimensions):
    real, fake = features(count, dimensions, seed=5), features(count, dimensions, 6, scale=1.3, offset=0.4)
    ours = frechet_distance(FrechetReference.of(gathered(real, 7).gaussian()), gathered(fake, 3).gaussian())
    statistics = [fid_features_to_statistics(torch.from_numpy(array)) for array in (real, fake)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-6)
    if count > dimensions:  # pytorch-fid adds to the diagonal of a singular covariance
        arguments = [value for s in statistics for value in (s["mu"], s["sigma"])]
        assert ours == pytest.approx(calculate_frechet_distance(*arguments), rel=1e-6)


def test_closed_form_for_diagonal_covariances():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.25])
    mu = np.array([0.5, -1.0, 2.0])
    reference = FrechetReference.of(Gaussian(np.zeros(3), np.diag(a), 100))
    expected = mu @ mu + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(reference, Gaussian(mu, np.diag(b), 100)) == pytest.approx(expected, rel=1e-12)


def test_equal_gaussians_are_at_distance_zero_and_never_below():
    gaussian = gathered(features(30, 64, seed=7), 1).gaussian()
    assert 0 <= frechet_distance(FrechetReference.of(gaussian), gaussian) < 1e-6


def test_one_image_is_refused():
    with pytest.raises(EvaluationError, match="at least 2 images, but there is 1"):
        gathered(features(1, 4, seed=0), 1).gaussian()
    with pytest.raises(EvaluationError, match="there is 0"):
        Moments().gaussian()


def test_nan_is_refused_with_the_number_of_images():
    array = torch.zeros(5, 3)
    array[1, 2] = torch.nan
    array[3, 0] = torch.inf
    with pytest.raises(EvaluationError, match="2 of 5 images are NaN or infinite"):
        Moments().update(array)


def test_other_dimensions_are_refused():
    moments = gathered(features(10, 4, seed=0), 1)
    with pytest.raises(EvaluationError, match="5 dimensions do not merge with features of 4"):
        moments.update(torch.zeros(2, 5))
    other = gathered(features(10, 5, seed=0), 1).gaussian()
    with pytest.raises(EvaluationError, match="4 and of 5 dimensions"):
        frechet_distance(FrechetReference.of(moments.gaussian()), other)
    bad = Gaussian(np.zeros(4), np.full((4, 4), np.nan), 10)
    with pytest.raises(EvaluationError, match="covariance of the generated images is not finite"):
        frechet_distance(FrechetReference.of(moments.gaussian()), bad)
