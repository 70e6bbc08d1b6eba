"""Modes found and their divergence, against scipy and closed forms."""

import numpy as np
import pandas
import pytest
import torch
from scipy.stats import entropy

from gan_core.evaluation.extraction import Accumulator
from gan_core.evaluation.metrics import METRICS, Comparison, compute_metrics, statistics_needed
from gan_core.evaluation.metrics.base import MOST_CLASSES, Batch
from gan_core.evaluation.metrics.modes import mode_divergence
from gan_core.leaderboard.tables import shown_figures

NAMES = ("modes", "mode_divergence")


def gathered(classes, k, *, real, names=NAMES):
    """What the metrics need of images that are recognised as, and labelled with, these classes."""
    metrics = [METRICS[name] for name in names]
    statistics = statistics_needed(metrics, real=real)
    accumulator = Accumulator(statistics, len(classes), classes=True, labels=True)
    for some in torch.as_tensor(classes).split(100):
        images = torch.zeros(len(some), 1, 2, 2, dtype=torch.uint8)
        logits = torch.nn.functional.one_hot(some, k).float()
        accumulator.update(Batch(images, torch.rand(len(some), 4), logits, some))
    found = accumulator.finish()
    return found.prepared(statistics) if real else found


def figures(generated, real, k, names=NAMES):
    comparison = Comparison(
        gathered(generated, k, real=False, names=names), gathered(real, k, real=True, names=names)
    )
    return compute_metrics({name: METRICS[name] for name in names}, comparison)


def test_the_divergence_is_scipys():
    random = np.random.RandomState(0)
    generated, real = random.randint(0, 7, 400), random.choice(7, 900, p=np.arange(1, 8) / 28)
    counts = [np.bincount(classes, minlength=7) for classes in (generated, real)]
    found = figures(generated, real, 7)
    assert found["mode_divergence"] == pytest.approx(entropy(*counts), rel=1e-12)
    assert found["modes"] == 7 and found["modes_there"] == 7


def test_one_mode_of_a_thousand_diverges_by_the_logarithm_of_a_thousand():
    found = figures(np.full(50, 3), np.arange(1000), 1000)
    assert found == {
        "modes": 1,
        "modes_there": 1000,
        "mode_divergence": pytest.approx(np.log(1000), rel=1e-12),
    }


def test_a_class_without_real_images_counts_as_one_image():
    found = mode_divergence(np.array([5, 5]), np.array([9, 0]))
    assert found == pytest.approx(entropy([0.5, 0.5], [0.9, 0.1]))


def test_as_many_images_of_the_same_distribution_have_the_divergence_of_chance():
    """(K - 1) / 2n, and K (1 - (1 - 1/K)^n) modes: what real images have."""
    random = np.random.RandomState(0)
    k, n = 1000, 26_000
    found = figures(random.randint(0, k, n), np.arange(k), k)
    assert found["mode_divergence"] == pytest.approx((k - 1) / (2 * n), rel=0.1)
    few = figures(random.randint(0, k, 1500), np.arange(k), k)
    assert few["modes"] == pytest.approx(k * (1 - (1 - 1 / k) ** 1500), abs=30)


@pytest.mark.parametrize(("classes", "shown"), [(10, False), (1000, True)])
def test_the_modes_have_a_column_where_there_are_many(classes, shown):
    rows = pandas.DataFrame({"fid": [1.0], "modes": [7], "modes_there": [classes], "mode_divergence": [0.5]})
    missing = {name for metric in METRICS.values() for name in metric.all_figures} - set(rows)
    rows = rows.assign(**dict.fromkeys(missing))
    assert (set(NAMES) <= set(shown_figures(rows, variants=False))) is shown


def test_nothing_is_looked_for_within_each_of_a_thousand_classes():
    k, names = MOST_CLASSES + 1, ("accuracy", "class_fid", "class_coverage")
    classes = np.arange(10 * k) % k
    comparison = Comparison(
        gathered(classes, k, real=False, names=names), gathered(classes, k, real=True, names=names)
    )
    found = compute_metrics({name: METRICS[name] for name in names}, comparison)
    assert found["class_accuracy"] == 1.0
    assert {found[name] for name in ("class_fid", "class_fid_worst", "least_class_coverage")} == {None}
    assert METRICS["accuracy"].evidence(comparison) == {}
