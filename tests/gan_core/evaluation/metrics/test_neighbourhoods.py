import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy.spatial.distance import cdist
from scipy.stats import betabinom
from torch_fidelity.metric_prc import calculate_precision_recall_full

from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet, chosen_metrics, compute_metrics
from gan_core.evaluation.metrics import neighbourhoods as module
from gan_core.evaluation.metrics.base import FEATURES
from gan_core.evaluation.metrics.neighbourhoods import (
    BALLS,
    LABELS,
    K,
    calibrated,
    expected_coverage,
    expected_filling,
    neighbourhoods,
    real_balls,
)

NAMES = ["precision", "recall", "density", "coverage", "clipped_density", "clipped_coverage"]


def normal(count, dimensions, seed, scale=1.0, offset=0.0):
    return torch.from_numpy(np.random.RandomState(seed).normal(offset, scale, (count, dimensions))).float()


def image_set(features):
    return ImageSet(len(features), {"features": features})


def figures_of(generated, real):
    prepared = image_set(real).prepared((FEATURES, BALLS))
    return compute_metrics(chosen_metrics(NAMES), Comparison(image_set(generated), prepared))


@pytest.mark.parametrize(
    "generated, real",
    [
        (normal(300, 4, 0, scale=0.7), normal(250, 4, 1)),
        (normal(150, 64, 2, offset=0.3), normal(400, 64, 3)),
        (normal(400, 10, 4, offset=1e4), normal(400, 10, 5, scale=1.3, offset=1e4)),
        (normal(200, 6, 6, offset=9), normal(200, 6, 7)),
    ],
)
def test_precision_recall_density_and_coverage_are_those_of_prdc(generated, real):
    theirs = compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=K)
    found = figures_of(generated, real)
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name] == pytest.approx(theirs[name], abs=1e-9)


@pytest.mark.parametrize("k, seed", [(3, 0), (3, 1), (4, 2)])
def test_improved_precision_and_recall_are_those_of_torch_fidelity(k, seed):
    generated, real = normal(300, 8, seed, scale=0.8), normal(260, 8, seed + 10)
    theirs = calculate_precision_recall_full(generated.double(), real.double(), neighborhood=k)
    found = neighbourhoods(generated, real, real_balls(real, k), k, inclusive=True)
    ours = ((found.in_real > 0).mean(), (found.reached > 0).mean())
    assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("m, n", [(200, 200), (60, 240)])
def test_the_same_distribution_has_density_1_and_the_coverage_of_the_formula(m, n):
    found = [figures_of(normal(m, 3, 100 + i), normal(n, 3, 500 + i)) for i in range(60)]
    for name, expected in (("density", 1.0), ("coverage", expected_coverage(n, m))):
        values = np.array([figures[name] for figures in found])
        assert abs(values.mean() - expected) < 3.5 * values.std() / np.sqrt(len(values))


def test_expected_coverage_of_equal_numbers():
    assert expected_coverage(100_000, 100_000) == pytest.approx(1 - 0.5**5, abs=1e-4)


def reference_clipped(generated, real):
    """Both metrics by their definitions, over all distances at once."""
    to_real, own = cdist(generated, real), cdist(real, real)
    np.fill_diagonal(own, np.inf)
    radii = np.sort(own, axis=1)[:, K - 1]
    clipped = np.minimum(radii, np.median(radii))
    unscaled = np.minimum((to_real < clipped).sum(axis=1) / K, 1).mean()
    of_real = np.minimum((own <= clipped).sum(axis=1) / K, 1).mean()
    nearest = np.sort(to_real, axis=0)[:K]
    return min(unscaled / of_real, 1), (nearest < radii).mean()


def test_clipped_metrics_follow_their_definitions():
    generated, real = normal(150, 5, 20, scale=0.9), normal(200, 5, 21)
    real[:5] *= 6
    density, filling = reference_clipped(generated.numpy().astype(float), real.numpy().astype(float))
    found = figures_of(generated, real)
    assert found["clipped_density"] == pytest.approx(density, abs=1e-12)
    assert found["clipped_coverage"] == pytest.approx(calibrated(filling, 200, 150), abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, 0.25, 0.6, 1.0])
def test_a_share_of_bad_samples_lowers_both_clipped_metrics_by_it(bad):
    found = []
    for seed in range(20):
        generated = normal(300, 3, 40 + seed)
        generated[: round(300 * bad)] += 1000
        found.append(figures_of(generated, normal(300, 3, 80 + seed)))
    for name in ("clipped_density", "clipped_coverage"):
        assert np.mean([figures[name] for figures in found]) == pytest.approx(1 - bad, abs=0.03)


@pytest.mark.parametrize("real, k", [(80, 5), (6, 5), (10_000, 3)])
def test_expected_filling_is_a_sum_of_beta_binomial_tails(real, k):
    good = np.array([0, 1, 3, 17, 500])
    tails = [betabinom.sf(t - 1, good, k, real - k) for t in range(1, k + 1)]
    np.testing.assert_allclose(expected_filling(real, good, k), np.mean(tails, axis=0), atol=1e-9)


def test_expected_filling_is_that_of_coverage_with_one_neighbour_and_a_simulated_mean():
    good = np.array([10, 40, 100])
    assert expected_filling(80, good, k=1) == pytest.approx([expected_coverage(80, m, k=1) for m in good])
    trials = [
        np.minimum(
            (cdist(normal(40, 2, i), real := normal(80, 2, 999 - i)) < real_balls(real).radii).sum(axis=0), K
        )
        for i in range(100)
    ]
    assert expected_filling(80, np.array(40)) == pytest.approx(np.mean(trials) / K, abs=0.01)


def test_outliers_do_not_raise_clipped_density():
    real = normal(300, 4, 60)
    real[:12] *= 200  # their balls hold everything
    around = normal(200, 4, 61, scale=20)
    found = figures_of(around, real)
    assert found["precision"] > 0.9 and found["density"] > 0.9
    assert found["clipped_density"] < 0.1


def test_repeated_images_have_quality_and_no_variety():
    real = normal(400, 6, 70)
    found = figures_of(real[:8].repeat(50, 1), real)
    assert found["precision"] == 1 and found["density"] > 0.5
    assert found["recall"] == 0 and found["coverage"] < 0.15 and found["clipped_coverage"] < 0.15


def test_class_coverage_is_that_of_the_classes_reached_least_and_most():
    real, generated = normal(300, 4, 75), normal(250, 4, 76)
    labels = torch.arange(300) % 3
    real += 20 * labels[:, None]
    generated[:, 0] += 20 * torch.tensor([0, 1]).repeat(125)
    generated[:, 1:] += generated[:, :1].gt(10) * 20  # none in the third class
    values = {"features": real, "labels": labels}
    prepared = ImageSet(300, values).prepared((FEATURES, BALLS, LABELS))
    found = compute_metrics(chosen_metrics(["class_coverage"]), Comparison(image_set(generated), prepared))
    balls = real_balls(real).radii
    reached = (cdist(real.double(), generated.double()) < balls[:, None]).any(axis=1)
    of_classes = [reached[labels.numpy() == label].mean() for label in range(3)]
    assert found["least_class_coverage"] == pytest.approx(min(of_classes)) == 0
    assert found["most_class_coverage"] == pytest.approx(max(of_classes)) and max(of_classes) > 0.8
    without = Comparison(image_set(generated), image_set(real).prepared((FEATURES, BALLS)))
    assert set(compute_metrics(chosen_metrics(["class_coverage"]), without).values()) == {None}


def test_of_large_sets_a_seeded_choice_is_compared_and_its_size_recorded(monkeypatch):
    monkeypatch.setattr(module, "MOST", 60)
    generated, real = normal(100, 4, 80), normal(90, 4, 81)
    comparison = Comparison(image_set(generated), image_set(real).prepared((FEATURES, BALLS)))
    metrics = chosen_metrics(NAMES)
    assert {metric.settings(comparison) for metric in metrics.values()} == {"k=5 of 60/60"}
    assert len(comparison.real[BALLS].radii) == 60
    assert compute_metrics(metrics, comparison) == figures_of(generated, real)


def test_the_balls_of_real_images_are_computed_once_and_kept(monkeypatch):
    generated, real = normal(50, 4, 90), image_set(normal(70, 4, 91)).prepared((FEATURES, BALLS))
    kept = BALLS.of_arrays(BALLS.to_arrays(real[BALLS]))
    np.testing.assert_array_equal(kept.radii, real[BALLS].radii)
    assert kept.own_density == real[BALLS].own_density
    expected = compute_metrics(chosen_metrics(NAMES), Comparison(image_set(generated), real))
    monkeypatch.setattr(module, "real_balls", None)  # a second experiment does not need them
    again = Comparison(image_set(generated), ImageSet(70, {"features": real[FEATURES], "balls": kept}))
    assert compute_metrics(chosen_metrics(NAMES), again) == expected


def test_too_few_images_for_balls_leave_the_figures_empty():
    found = figures_of(normal(50, 4, 0), normal(K, 4, 1))
    assert found == dict.fromkeys(NAMES)
    assert METRICS["recall"].least_images == K + 1


# --- intervals --------------------------------------------------------------------------------------------


def compared_sets(generated, real):
    return Comparison(image_set(generated), image_set(real).prepared((FEATURES, BALLS)))


def test_intervals_hold_the_expected_figures():
    real, trials = normal(120, 6, 0), 80
    figures, intervals = {name: [] for name in NAMES}, {name: [] for name in NAMES}
    for trial in range(trials):
        comparison = compared_sets(normal(100, 6, 100 + trial, scale=1.1), real)
        for name in NAMES:
            figures[name].append(METRICS[name].compute(comparison)[name])
            intervals[name].append(METRICS[name].interval(comparison))
    for name in NAMES:
        truth = np.mean(figures[name])
        low, high = np.array(intervals[name]).T
        # Three standard errors of the trials below 95%; recall and coverage are known to be on the safe side.
        assert np.mean((low <= truth) & (truth <= high)) >= 0.877, name
        assert np.mean(high - low) < 8 * np.std(figures[name]), name


def test_the_jackknife_of_coverage_is_that_of_leaving_one_out():
    generated, real = normal(60, 4, 1), normal(50, 4, 2)
    comparison = compared_sets(generated, real)
    left_out = [
        METRICS["coverage"].compute(Comparison(image_set(generated[torch.arange(60) != i]), comparison.real))[
            "coverage"
        ]
        for i in range(60)
    ]
    low, high = METRICS["coverage"].interval(comparison)
    value = METRICS["coverage"].compute(comparison)["coverage"]
    error = np.sqrt(np.var(left_out) * 60) * 1.959964
    assert (low, high) == pytest.approx((max(value - error, 0), min(value + error, 1)), rel=1e-6)
