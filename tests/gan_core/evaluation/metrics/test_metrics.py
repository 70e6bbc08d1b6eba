import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from gan_core.errors import EvaluationError
from gan_core.evaluation.extraction import Accumulator
from gan_core.evaluation.metrics import (
    METRICS,
    Comparison,
    ImageSet,
    chosen_metrics,
    compute_metrics,
    metric_of_figure,
    statistics_needed,
)
from gan_core.evaluation.metrics.base import FEATURES, MOMENTS, Batch
from gan_core.evaluation.metrics.inception_score import InceptionScore
from gan_core.evaluation.metrics.kid import kernel_inception_distance, subset_size
from gan_core.evaluation.statistics import moments as statistics


def normal(count, dimensions, seed, scale=1.0, offset=0.0):
    return torch.from_numpy(np.random.RandomState(seed).normal(offset, scale, (count, dimensions)))


def of_logits(logits):
    return Batch(torch.empty(0), logits[:, :0], logits)


@pytest.mark.parametrize(
    "fake, real, subsets, size", [(1300, 1100, 10, 1000), (300, 250, 100, 100), (80, 60, 30, 60)]
)
def test_kid_agrees_with_torch_fidelity(fake, real, subsets, size):
    x, y = normal(fake, 32, 0, offset=0.2), normal(real, 32, 1, scale=1.2)
    theirs = kid_features_to_metric(x, y, kid_subsets=subsets, kid_subset_size=size, verbose=False)
    mean, deviation = kernel_inception_distance(x, y, subsets=subsets, subset_size=size)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-8)
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], abs=1e-8)


def test_kid_of_features_with_an_offset_keeps_its_value():
    # float32 products of the features themselves are off by 4e-4 here.
    x, y = normal(400, 16, 0, offset=20.2).float(), normal(400, 16, 1, offset=20).float()
    theirs = kid_features_to_metric(x.double(), y.double(), kid_subsets=9, kid_subset_size=90, verbose=False)
    found = kernel_inception_distance(x, y, subsets=9, subset_size=90)
    assert found[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-8)


def test_the_settings_of_kid_say_how_many_features_there_were(monkeypatch):
    def settings(generated, real):
        sets = [ImageSet(count, {"features": torch.zeros(count, 1)}) for count in (generated, real)]
        return METRICS["kid"].settings(Comparison(*sets))

    assert settings(2000, 1412) == "kid=100x1000 of 2000/1412"
    assert settings(300, 50_000) == "kid=100x300 of 300/10000"


def test_kid_of_two_draws_of_one_distribution_is_near_zero():
    mean, deviation = kernel_inception_distance(normal(800, 16, 2), normal(800, 16, 3), subset_size=400)
    assert abs(mean) < 3 * deviation


def test_kid_subsets_are_what_both_sets_have():
    def size(generated, real):
        sets = [ImageSet(count, {"features": torch.zeros(count, 1)}) for count in (generated, real)]
        return subset_size(Comparison(*sets))

    assert size(5000, 4000) == 1000
    assert size(360, 2000) == 360


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
        score.update(of_logits(part))
    scores = score.finish()
    assert scores.mean() == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert scores.std() == pytest.approx(theirs["inception_score_std"], abs=1e-9)


def test_inception_score_of_certain_and_balanced_predictions_is_the_number_of_classes():
    logits = torch.eye(5).repeat(20, 1) * 2000
    score = InceptionScore(100, shuffle=False)
    score.update(of_logits(logits))
    assert score.finish() == pytest.approx([5] * 10)


def test_inception_score_needs_an_image_a_split():
    with pytest.raises(EvaluationError, match="at least 10 images, but there are 9"):
        InceptionScore(9)


def accumulated(features, logits=None, labels=None, batch=17, metrics=None, **options):
    chosen = chosen_metrics(metrics).values()
    needed = (*statistics_needed(chosen, real=False), *statistics_needed(chosen, real=True))
    there = {"classes": logits is not None, "labels": labels is not None}
    accumulator = Accumulator(needed, len(features), **there, **options)
    for start in range(0, len(features), batch):
        part = slice(start, start + batch)
        images = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4).repeat(len(features[part]), 1, 1, 1)
        accumulator.update(
            Batch(
                images,
                features[part],
                None if logits is None else logits[part],
                None if labels is None else labels[part],
            )
        )
    return accumulator.finish()


def prepared(image_set):
    return image_set.prepared(statistics_needed(chosen_metrics(None).values(), real=True))


def test_the_registry_gives_every_figure():
    logits = normal(50, 3, 5)
    labels = logits.argmax(dim=1)
    labels[:10] = (labels[:10] + 1) % 3
    fake = accumulated(normal(50, 8, 6), logits, labels)
    real = prepared(accumulated(normal(60, 8, 7)))
    metrics = chosen_metrics(None)
    figures = compute_metrics(metrics, Comparison(fake, real))
    assert list(figures) == [name for metric in metrics.values() for name in metric.figures]
    assert figures["class_accuracy"] == pytest.approx(0.8)
    assert figures["inception_score"] > 1
    assert figures["fid"] > 0
    expected = kernel_inception_distance(fake[FEATURES], real[FEATURES], subset_size=50)
    assert (figures["kid"], figures["kid_std"]) == expected


def test_only_what_the_chosen_metrics_need_is_gathered():
    features, logits = normal(50, 8, 6), normal(50, 3, 5)
    for names, gathered in (
        (["fid"], {"moments", "features"}),
        (["kid"], {"features"}),
        (["is"], {"inception_score"}),
        (["fid", "is", "accuracy"], {"moments", "features", "inception_score"}),  # no image has a label
    ):
        assert set(accumulated(features, logits, metrics=names).values) == gathered


def test_without_classes_the_score_and_the_accuracy_are_none():
    fake = accumulated(normal(50, 8, 6))
    figures = compute_metrics(chosen_metrics(["is", "accuracy"]), Comparison(fake))
    assert figures == {"inception_score": None, "inception_score_std": None, "class_accuracy": None}


def test_the_registry_refuses_what_it_does_not_know():
    fake = accumulated(normal(20, 4, 0))
    with pytest.raises(EvaluationError, match="no metric `ppl`: choose from fid, "):
        chosen_metrics(["fid", "ppl"])
    with pytest.raises(EvaluationError, match="no metric is named"):
        chosen_metrics([])
    with pytest.raises(EvaluationError, match="`fid` compares with real images"):
        compute_metrics(chosen_metrics(["fid"]), Comparison(fake))


def test_what_has_to_be_asked_for_is_not_measured_by_default():
    assert set(METRICS) - set(chosen_metrics(None)) == {"lpips"}
    assert list(chosen_metrics(["lpips", "fid"])) == ["fid", "lpips"]


def test_every_figure_belongs_to_its_metric():
    assert metric_of_figure("fid_untrained") is METRICS["fid"]
    assert metric_of_figure("inception_score_std") is METRICS["is"]
    assert metric_of_figure("images_seen") is None


def test_kept_features_are_a_seeded_choice_that_does_not_depend_on_batches(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_KEPT", 30)
    features = normal(200, 4, 8).float()
    first, second = (accumulated(features, batch=size, seed=3)[FEATURES] for size in (7, 64))
    assert first.shape == (30, 4)
    assert torch.equal(first, second)
    assert not torch.equal(first, accumulated(features, seed=4)[FEATURES])
    rows = {tuple(row.tolist()) for row in features}
    assert all(tuple(row.tolist()) in rows for row in first)


def test_a_stream_of_another_length_is_refused():
    def batch(count):
        return Batch(torch.empty(0), normal(count, 4, 0))

    accumulator = Accumulator((MOMENTS,), 10)
    accumulator.update(batch(8))
    with pytest.raises(EvaluationError, match="8 images came of the 10"):
        accumulator.finish()
    with pytest.raises(EvaluationError, match="more than the 10 images"):
        accumulator.update(batch(3))
