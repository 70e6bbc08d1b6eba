import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from gan_core.errors import EvaluationError
from gan_core.evaluation import metrics
from gan_core.evaluation.metrics import (
    METRICS,
    Accumulator,
    InceptionScore,
    RealStatistics,
    compute_metrics,
    kernel_inception_distance,
    kid_subset_size,
)


def normal(count, dimensions, seed, scale=1.0, offset=0.0):
    return torch.from_numpy(np.random.RandomState(seed).normal(offset, scale, (count, dimensions)))


@pytest.mark.parametrize(
    "fake, real, subsets, size", [(1300, 1100, 10, 1000), (300, 250, 100, 100), (80, 60, 30, 60)]
)
def test_kid_agrees_with_torch_fidelity(fake, real, subsets, size):
    x, y = normal(fake, 32, 0, offset=0.2), normal(real, 32, 1, scale=1.2)
    theirs = kid_features_to_metric(x, y, kid_subsets=subsets, kid_subset_size=size, verbose=False)
    mean, deviation = kernel_inception_distance(x, y, subsets=subsets, subset_size=size)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6)


def test_kid_of_two_draws_of_one_distribution_is_near_zero():
    mean, deviation = kernel_inception_distance(normal(800, 16, 2), normal(800, 16, 3), subset_size=400)
    assert abs(mean) < 3 * deviation


def test_kid_subsets_are_what_both_sets_have():
    assert kid_subset_size(5000, 4000) == 1000
    assert kid_subset_size(360, 2000) == 360


def test_kid_refuses_subsets_that_are_too_large_and_other_dimensions():
    with pytest.raises(EvaluationError, match="subsets of 50 .* from 40 generated and 60 real"):
        kernel_inception_distance(normal(40, 4, 0), normal(60, 4, 1), subset_size=50)
    with pytest.raises(EvaluationError, match="4 and of 5 dimensions"):
        kernel_inception_distance(normal(40, 4, 0), normal(60, 5, 1), subset_size=10)


@pytest.mark.parametrize("count", [10, 103, 2000])
@pytest.mark.parametrize("shuffle, seed", [(True, 2020), (True, 5), (False, 2020)])
def test_inception_score_agrees_with_torch_fidelity(count, shuffle, seed):
    logits = normal(count, 7, 4, scale=3).float()
    theirs = isc_features_to_metric(logits, splits=10, shuffle=shuffle, rng_seed=seed)
    score = InceptionScore(count, shuffle=shuffle, seed=seed)
    for part in logits.split(64):
        score.update(part)
    mean, deviation = score.scores()
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert deviation == pytest.approx(theirs["inception_score_std"], abs=1e-9)


def test_inception_score_of_certain_and_balanced_predictions_is_the_number_of_classes():
    logits = torch.eye(5).repeat(20, 1) * 2000
    score = InceptionScore(100, shuffle=False)
    score.update(logits)
    assert score.scores() == (pytest.approx(5), pytest.approx(0, abs=1e-9))


def test_inception_score_needs_an_image_a_split():
    with pytest.raises(EvaluationError, match="at least 10 images, but there are 9"):
        InceptionScore(9)


def accumulated(features, logits=None, labels=None, batch=17, **options):
    accumulator = Accumulator(len(features), **options)
    for start in range(0, len(features), batch):
        part = slice(start, start + batch)
        accumulator.update(
            features[part],
            None if logits is None else logits[part],
            None if labels is None else labels[part],
        )
    return accumulator.finish()


def test_the_registry_gives_every_figure():
    logits = normal(50, 3, 5)
    labels = logits.argmax(dim=1)
    labels[:10] = (labels[:10] + 1) % 3
    fake = accumulated(normal(50, 8, 6), logits, labels, scored=True)
    real = RealStatistics.of(accumulated(normal(60, 8, 7)))
    figures = compute_metrics(list(METRICS), fake, real)
    assert figures["class_accuracy"] == pytest.approx(0.8)
    assert figures["inception_score"] > 1
    assert figures["fid"] > 0
    size = 50
    expected = kernel_inception_distance(fake.features, real.features, subset_size=size)
    assert (figures["kid"], figures["kid_std"]) == expected


def test_without_classes_the_score_and_the_accuracy_are_none():
    fake = accumulated(normal(50, 8, 6))
    figures = compute_metrics(["is", "accuracy"], fake)
    assert figures == {"inception_score": None, "inception_score_std": None, "class_accuracy": None}


def test_the_registry_refuses_what_it_does_not_know():
    fake = accumulated(normal(20, 4, 0))
    with pytest.raises(EvaluationError, match="no metric `ppl`: choose from fid, kid, is, accuracy"):
        compute_metrics(["fid", "ppl"], fake)
    with pytest.raises(EvaluationError, match="no metric is named"):
        compute_metrics([], fake)
    with pytest.raises(EvaluationError, match="`fid` compares with real images"):
        compute_metrics(["fid"], fake)


def test_features_for_kid_are_a_seeded_choice_that_does_not_depend_on_batches(monkeypatch):
    monkeypatch.setattr(metrics, "MAX_KID_FEATURES", 30)
    features = normal(200, 4, 8).float()
    first, second = accumulated(features, batch=7, seed=3), accumulated(features, batch=64, seed=3)
    assert first.features.shape == (30, 4)
    assert torch.equal(first.features, second.features)
    assert not torch.equal(first.features, accumulated(features, seed=4).features)
    rows = {tuple(row.tolist()) for row in features}
    assert all(tuple(row.tolist()) in rows for row in first.features)


def test_a_stream_of_another_length_is_refused():
    accumulator = Accumulator(10)
    accumulator.update(normal(8, 4, 0))
    with pytest.raises(EvaluationError, match="8 images came of the 10"):
        accumulator.finish()
    with pytest.raises(EvaluationError, match="more than the 10 images"):
        accumulator.update(normal(3, 4, 0))
