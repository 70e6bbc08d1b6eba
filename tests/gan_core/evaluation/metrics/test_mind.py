import numpy as np
import pytest
import torch
from scipy.stats import norm, wasserstein_distance

from gan_core.errors import EvaluationError
from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.metrics import mind as module
from gan_core.evaluation.metrics.mind import Matching, directions, mind


def normal(count, dimensions, seed, offset=0.0, scale=1.0):
    return torch.from_numpy(np.random.RandomState(seed).normal(offset, scale, (count, dimensions)))


def compared(generated, real):
    sets = [ImageSet(len(features), {"features": features}) for features in (generated, real)]
    return Comparison(*sets)


@pytest.fixture
def few_directions(monkeypatch):
    monkeypatch.setattr(module, "DIRECTIONS", 60)
    monkeypatch.setattr(module, "directions", lambda dimensions: directions(dimensions, 60))


def test_a_shift_counts_three_times_its_square():
    # Along a direction u the distance is (u.s)^2 exactly, whose mean over all directions is |s|^2 / D.
    features, shift = normal(200, 24, 0), torch.zeros(24, dtype=torch.float64)
    shift[3] = 1.5
    along = directions(24)
    expected = 3 * 24 * float((along @ shift).square().mean())
    assert mind(features + shift, features)[0] == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(3 * 1.5**2, rel=0.1)


def test_two_gaussians_have_the_distance_of_their_quantiles():
    # The squared distance of N(0, 1) and N(m, s) is m^2 + (s - 1)^2.
    quantiles = torch.from_numpy(norm.ppf((np.arange(1000) + 0.5) / 1000))[:, None]
    assert mind(quantiles * 1.5 + 0.8, quantiles)[0] == pytest.approx(3 * (0.8**2 + 0.5**2), rel=5e-3)


def test_equal_sizes_are_sorted_and_subtracted():
    fake, real = normal(150, 6, 1, 0.3), normal(150, 6, 2, 0, 1.3)
    along = directions(6)
    gaps = (fake @ along.T).sort(dim=0).values - (real @ along.T).sort(dim=0).values
    assert mind(fake, real)[0] == pytest.approx(3 * 6 * float(gaps.square().mean()), rel=1e-12)


@pytest.mark.parametrize("sizes", [(40, 40), (40, 120), (120, 40), (35, 50)])
def test_unequal_sizes_are_carried_whole(sizes):
    # As often as it takes for both sets to be equally large: the same distributions.
    fake, real = normal(sizes[0], 5, 3, 0.4), normal(sizes[1], 5, 4)
    common = np.lcm(*sizes)
    repeated = [part.repeat_interleave(common // len(part), dim=0) for part in (fake, real)]
    assert mind(fake, real)[0] == pytest.approx(mind(*repeated)[0], rel=1e-12)
    one, other = (np.sort(part[:, 0].numpy())[None] for part in (fake, real))
    matching = Matching(*sizes)
    carried = float((np.abs(matching.gaps(one, other)) @ matching.shares)[0])
    assert carried == pytest.approx(wasserstein_distance(one[0], other[0]), rel=1e-12)


def test_directions_are_seeded_unit_vectors_of_all_directions():
    along = directions(5, 20_000)
    assert torch.equal(along, directions(5, 20_000)) and not torch.equal(along, directions(5, 20_000, seed=1))
    assert torch.allclose(along.norm(dim=1), torch.ones(20_000, dtype=torch.float64))
    assert torch.allclose(along.T @ along / 20_000, torch.eye(5, dtype=torch.float64) / 5, atol=0.01)


def test_an_influence_is_the_potential_of_its_image():
    # Of a shift s the potential along u is 2 (u.s) (u.x), of any x.
    features, shift = normal(200, 6, 5), torch.linspace(-1, 2, 6, dtype=torch.float64)
    along = directions(6)
    potentials = 3 * 6 * 2 * ((along @ shift)[:, None] * (along @ (features + shift).T)).mean(dim=0)
    influence = mind(features + shift, features)[1]
    assert influence == pytest.approx((potentials - potentials.mean()).numpy(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("offset", "count"), [(0.0, 300), (0.4, 200)])
def test_the_interval_holds_the_truth_as_often_as_it_says(few_directions, offset, count):
    real, found, ends = normal(300, 6, 9), [], []
    for seed in range(120):
        comparison = compared(normal(count, 6, 100 + seed, offset), real)
        found.append(METRICS["mind"].compute(comparison)["mind"])
        ends.append(METRICS["mind"].interval(comparison))
    truth = np.mean(found)
    held = np.mean([low <= truth <= high for low, high in ends])
    assert 0.88 <= held <= 0.995


def test_samples_of_the_same_distribution_are_far_below_those_of_another():
    real = normal(2000, 16, 11)
    same, other = (mind(normal(500, 16, 12, offset), real)[0] for offset in (0.0, 0.5))
    assert 0 < same < 0.1 * other


def test_what_the_metric_says_of_itself_and_refuses():
    features = normal(80, 4, 13)
    assert METRICS["mind"].settings(compared(features, features[:50])) == "mind=1000 of 80/50"
    same = compared(features, features)
    assert METRICS["mind"].compute(same) == {"mind": 0.0}
    assert METRICS["mind"].interval(same) is None
    with pytest.raises(EvaluationError, match="4 and of 5 dimensions"):
        mind(features, normal(80, 5, 0))
