import numpy as np
import pytest
import torch
from vendi_score import vendi

from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.metrics.diversity.vendi import vendi_score

METRIC = METRICS["vendi"]


def uneven(count, dimensions, seed, offset=1.0):
    scales = np.linspace(0.2, 2, dimensions)
    return torch.from_numpy(np.random.RandomState(seed).normal(offset, 1, (count, dimensions)) * scales)


def compared(generated, real):
    sets = [ImageSet(len(features), {"features": features.float()}) for features in (generated, real)]
    return Comparison(*sets)


@pytest.mark.parametrize(("count", "dimensions"), [(300, 12), (20, 64)])
def test_it_agrees_with_the_authors_package(count, dimensions):
    features = uneven(count, dimensions, 0)
    theirs = vendi.score_dual(features.numpy())
    assert vendi_score(features)[0] == pytest.approx(theirs, rel=1e-10)
    kernel = torch.nn.functional.normalize(features, dim=1)
    eigenvalues = torch.linalg.eigvalsh(kernel @ kernel.T / count)
    assert vendi_score(features)[0] == pytest.approx(
        float(torch.special.entr(eigenvalues.clamp(min=0)).sum().exp())
    )


def test_it_counts_entirely_different_images():
    assert vendi_score(torch.eye(7).repeat(30, 1))[0] == pytest.approx(7)
    assert vendi_score(torch.ones(50, 4) * torch.arange(1, 51)[:, None])[0] == pytest.approx(1)
    shares = torch.tensor([0, 0, 0, 1])
    assert vendi_score(torch.eye(2)[shares])[0] == pytest.approx(
        np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    )


def test_the_parts_of_the_images_have_the_entropy_as_their_mean():
    score, parts = vendi_score(uneven(200, 9, 1))
    assert parts.mean() == pytest.approx(np.log(score))


def test_both_sides_are_compared_in_equal_numbers():
    features = uneven(900, 20, 2)
    found = METRIC.compute(compared(features, uneven(60, 20, 3)))
    assert found["vendi"] < 0.97 * vendi_score(features)[0]  # 60 of 20 dimensions look less diverse than 900
    assert found["vendi_share"] == found["vendi"] / found["vendi_real"]
    assert METRIC.settings(compared(features, uneven(60, 20, 3))) == "vendi=cosine of 60"
    same = METRIC.compute(compared(features, features))
    assert same["vendi"] == same["vendi_real"] and same["vendi_share"] == 1


def test_repeated_images_lower_it_and_ten_images_are_worth_ten_at_most():
    features = uneven(600, 20, 4)
    found = METRIC.compute(compared(features[:10].repeat(60, 1), features))
    assert found["vendi"] <= 10 and found["vendi_share"] < 0.8


def test_the_interval_holds_the_truth_as_often_as_it_says():
    real, found, ends = uneven(400, 8, 5), [], []
    for seed in range(300):
        comparison = compared(uneven(400, 8, 100 + seed), real)
        found.append(METRIC.compute(comparison)["vendi"])
        ends.append(METRIC.interval(comparison))
    truth = np.mean(found)
    assert 0.9 <= np.mean([low <= truth <= high for low, high in ends]) <= 0.99
    assert METRIC.interval(compared(uneven(15, 8, 0), real)) is None
