import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from gan_core.data.loading import load_resident
from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier import load_classifier, train_classifier
from gan_core.evaluation.metrics.base import FEATURES, MOMENTS
from gan_core.evaluation.reference import compute_reference_statistics, load_reference
from gan_core.store import Store
from tests.few_images import train_briefly

# With fewer images than dimensions the covariances are singular, and the roots of eigenvalues that are zero
# but for rounding differ by 1e-8 of the trace (here 27): small, but not beside a floor near zero.
ROUNDING = 1e-5


def fid_of(real, fake):
    statistics = [fid_features_to_statistics(x.double()) for x in (real, fake)]
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


@pytest.fixture(scope="module")
def features(trained):
    extractor = load_classifier(trained.store, trained.classifier)
    return {
        s: extractor.extract(load_resident(trained.store, trained.shards, s).images)
        for s in ("train", "test")
    }


def test_statistics_of_every_split_are_those_of_all_its_features(trained, features):
    assert set(trained.reference.files) == {"classifier-train.npz", "classifier-test.npz"}
    for split, count in (("train", 240), ("test", 90)):
        real = load_reference(trained.store, trained.reference, "classifier", split, (MOMENTS, FEATURES))
        expected = features[split][0].double().numpy()
        assert real[MOMENTS].count == real.count == count and real[FEATURES].shape == (count, 128)
        np.testing.assert_allclose(real[MOMENTS].mu, expected.mean(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(real[MOMENTS].sigma, np.cov(expected, rowvar=False), atol=1e-4)
        root = real[MOMENTS].sigma_sqrt
        np.testing.assert_allclose(root @ root, real[MOMENTS].sigma, atol=1e-8)


def test_the_floor_is_the_distance_of_real_from_real(trained, features):
    details = trained.reference.details["extractors"]["classifier"]
    floor = details["floor"]
    whole = floor["test_against_train"]
    assert whole["samples"] == 90
    assert whole["figures"]["fid"] == pytest.approx(
        fid_of(features["train"][0], features["test"][0]), rel=1e-6, abs=ROUNDING
    )
    assert floor["train_halves"]["samples"] == 120
    assert "n=120 vs halves/train-half(120)@" in floor["train_halves"]["protocols"]["fid"]
    # The protocol asks for 60 samples and there are 90 test images.
    drawn = floor["at_samples"]
    assert drawn["samples"] == 60
    assert "n=60 vs halves/train(240)@" in drawn["protocols"]["fid"]
    assert drawn["protocols"]["kid"].endswith("kid=100x60 of 60/240")
    chosen = np.sort(np.random.RandomState(0).choice(90, 60, replace=False))
    expected = fid_of(features["train"][0], features["test"][0][chosen])
    assert drawn["figures"]["fid"] == pytest.approx(expected, rel=1e-6, abs=ROUNDING)
    assert trained.reference.figures["classifier_fid_floor"] == drawn["figures"]["fid"]
    assert trained.reference.figures["classifier_kid_floor"] == drawn["figures"]["kid"]


def test_the_inception_score_of_the_real_images(trained, features):
    expected = isc_features_to_metric(features["train"][1])
    found = trained.reference.details["extractors"]["classifier"]["figures"]
    assert found["inception_score"] == pytest.approx(expected["inception_score_mean"], rel=1e-4)
    assert found["inception_score_std"] == pytest.approx(expected["inception_score_std"], abs=1e-4)


def test_it_is_reused_until_its_classifier_changes(trained):
    again = compute_reference_statistics(trained.store, trained.dataset, trained.shards, trained.classifier)
    assert again.reused and again.fingerprint == trained.reference.fingerprint
    assert set(again.inputs) == {"image_shards", "classifier"}


def test_without_labels_and_test_split_the_floor_comes_from_halves_of_train(
    make_dataset, make_shards, tmp_path, monkeypatch
):
    train_briefly(monkeypatch)
    store, dataset = Store(tmp_path), make_dataset(labelled=False, splits=("train",), samples=30)
    shards = make_shards(store, dataset, counts={"train": 80})
    classifier = train_classifier(store, dataset, shards)
    reference = compute_reference_statistics(store, dataset, shards, classifier)
    details = reference.details["extractors"]["classifier"]
    assert (
        details["figures"]["inception_score"] is None
        and reference.figures["classifier_inception_score"] is None
    )
    assert set(details["floor"]) == {"train_halves", "at_samples"}
    assert details["floor"]["at_samples"]["samples"] == 30
    assert "n=30 vs halves/train-half(40)@" in details["floor"]["at_samples"]["protocols"]["fid"]
    assert set(details["splits"]) == {"train"}


def test_what_is_missing_is_said_before_any_work(trained, make_dataset, monkeypatch):
    with pytest.raises(EvaluationError, match="none is trained: run `python -m gan_core reference halves`"):
        compute_reference_statistics(trained.store, trained.dataset, trained.shards, None)
    monkeypatch.delenv("GAN_INCEPTION_WEIGHTS", raising=False)
    inception = make_dataset(extractors=("inception",), weights={"inception": "nowhere.pth"})
    with pytest.raises(EvaluationError, match="nowhere.pth of inception are not there"):
        compute_reference_statistics(trained.store, inception, trained.shards, None)
    few = trained.shards.model_copy(deep=True)
    few.details["splits"]["train"]["images"] = 9
    with pytest.raises(EvaluationError, match="train split of halves has 9 images, but .* at least 10"):
        compute_reference_statistics(trained.store, trained.dataset, few, trained.classifier)
    few.details["splits"] |= {"train": {"images": 20}, "test": {"images": 1}}
    with pytest.raises(EvaluationError, match="test split of halves has 1 images"):
        compute_reference_statistics(trained.store, trained.dataset, few, trained.classifier)


def test_features_are_extracted_once(trained, monkeypatch):
    from gan_core.evaluation.extractors.classifier import ClassifierExtractor

    seen = []
    original = ClassifierExtractor.extract

    def counted(self, images):
        seen.append(len(images))
        return original(self, images)

    monkeypatch.setattr(ClassifierExtractor, "extract", counted)
    again = compute_reference_statistics(
        trained.store, trained.dataset, trained.shards, trained.classifier, force=True
    )
    assert sum(seen) == 240 + 90 and torch.tensor(seen).max() <= 64
    assert again.figures == trained.reference.figures
