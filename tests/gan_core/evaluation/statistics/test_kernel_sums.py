import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from gan_core.evaluation.statistics import kernel_sums as module
from gan_core.evaluation.statistics.kernel_sums import kernel_sums, subset_distances


def features(count, seed, offset=0.0, dimensions=8):
    return torch.from_numpy(np.random.RandomState(seed).normal(offset, 1, (count, dimensions)))


def kernel(x, z):
    return ((x @ z.T / x.shape[1] + 1) ** 3).numpy()


@pytest.mark.parametrize("tile", [7, 64, 512])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_the_sums_are_those_of_the_whole_kernel_matrix(monkeypatch, tile, offset):
    monkeypatch.setattr(module, "TILE", tile)
    x, z = features(90, 0, offset + 0.3), features(70, 1, offset)
    within, between = kernel(x, x), kernel(x, z)
    np.fill_diagonal(within, 0)
    found = kernel_sums(x, z)
    np.testing.assert_allclose(found.own, within.sum(axis=1) / 89, rtol=1e-5)
    np.testing.assert_allclose(found.cross, between.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.real, between.mean(axis=0), rtol=1e-5)
    assert found.own_square == pytest.approx((within**2).sum() / (90 * 89), rel=1e-5)
    assert found.cross_square == pytest.approx((between**2).mean(), rel=1e-5)


@pytest.mark.parametrize("subsets, size", [(3, 20), (50, 60)])  # each subset for itself; all pairs at once
def test_each_subset_has_the_distance_of_torch_fidelity(subsets, size):
    x, z = features(90, 0, 0.3), features(80, 1)
    found = subset_distances(x, z, subsets=subsets, size=size, seed=5)
    for number in (1, subsets):
        theirs = kid_features_to_metric(
            x, z, kid_subsets=number, kid_subset_size=size, rng_seed=5, verbose=False
        )
        mean = theirs["kernel_inception_distance_mean"]
        assert found[:number].mean() == pytest.approx(mean, abs=1e-7)


def test_both_ways_to_the_subsets_agree(monkeypatch):
    x, z = features(200, 2, 0.3), features(150, 3)
    direct = subset_distances(x, z, subsets=4, size=50, seed=0)
    more = subset_distances(x, z, subsets=100, size=50, seed=0)
    np.testing.assert_allclose(direct, more[:4], atol=1e-7)
