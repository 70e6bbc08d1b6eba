import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix

from gan_core.evaluation.extraction import Accumulator
from gan_core.evaluation.metrics import METRICS, Comparison, compute_metrics, statistics_needed
from gan_core.evaluation.metrics.base import Batch
from gan_core.evaluation.metrics.classes import class_fid as module


def gathered(metric, features, labels, logits, *, real, labelled=True):
    """What one metric needs of images that come in batches of 100."""
    statistics = statistics_needed([METRICS[metric]], real=real)
    accumulator = Accumulator(statistics, len(features), classes=True, labels=labelled)
    for i in range(0, len(features), 100):
        known = None if labels is None else labels[i : i + 100]
        images = torch.zeros(len(features[i : i + 100]), 1, 2, 2, dtype=torch.uint8)
        accumulator.update(Batch(images, features[i : i + 100], logits[i : i + 100], known))
    found = accumulator.finish()
    return found.prepared(statistics) if real else found


def recognised_as(classes, k):
    return torch.nn.functional.one_hot(torch.as_tensor(classes), k).float()


def normal(count, seed, k=3, dimensions=4):
    """Features whose mean depends on the class, labels in turn, and logits that recognise 80% of them."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % k
    features = random.normal(labels[:, None] * 5, 1 + labels[:, None], (count, dimensions))
    seen = np.where(random.rand(count) < 0.8, labels, random.randint(0, k, count))
    return torch.from_numpy(features).float(), torch.from_numpy(labels), recognised_as(seen, k)


def test_the_confusion_is_scikit_learns():
    features, labels, logits = normal(950, 0, k=5)
    comparison = Comparison(gathered("accuracy", features, labels, logits, real=False))
    recognised = logits.argmax(dim=1)
    confusion = METRICS["accuracy"].evidence(comparison)["confusion"]
    np.testing.assert_array_equal(confusion, confusion_matrix(labels, recognised))
    figures = compute_metrics({"accuracy": METRICS["accuracy"]}, comparison)
    assert figures == {"class_accuracy": pytest.approx(accuracy_score(labels, recognised))}


@pytest.mark.parametrize("block", [150, 4096])
def test_the_fid_within_classes_is_that_of_each_class_alone(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    real, generated = normal(900, 0), normal(600, 1)
    comparison = Comparison(
        gathered("class_fid", *generated, real=False), gathered("class_fid", *real, real=True)
    )
    expected = []
    for k in range(3):
        x, y = (features[labels == k].double().numpy() for features, labels, _ in (real, generated))
        mean = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
        root = np.linalg.eigvals(np.cov(x.T) @ np.cov(y.T)).real
        expected.append(mean + np.trace(np.cov(x.T)) + np.trace(np.cov(y.T)) - 2 * np.sqrt(root).sum())
    figures = compute_metrics({"class_fid": METRICS["class_fid"]}, comparison)
    assert figures["class_fid"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert figures["class_fid_worst"] == pytest.approx(np.max(expected), rel=1e-6)
    assert figures["class_fid_images"] == 200
    evidence = METRICS["class_fid"].evidence(comparison)
    np.testing.assert_allclose(evidence["fid"], expected, rtol=1e-6)
    assert evidence["classes"].tolist() == [0, 1, 2] and evidence["real"].tolist() == [300] * 3


def test_classes_that_are_swapped_raise_the_fid_within_classes_but_not_the_fid():
    features, labels, logits = normal(900, 0)
    other, asked, _ = normal(900, 1)
    metrics = {name: METRICS[name] for name in ("fid", "class_fid")}

    def figures(labels_asked):
        values = {}
        for name in metrics:
            generated = gathered(name, other, labels_asked, logits, real=False)
            compared = gathered(name, features, labels, logits, real=True)
            values |= compute_metrics({name: metrics[name]}, Comparison(generated, compared))
        return values

    right, swapped = figures(asked), figures((asked + 1) % 3)
    assert swapped["fid"] == right["fid"]
    assert swapped["class_fid"] > 20 * right["class_fid"]


def test_the_reference_of_classes_survives_its_file():
    statistic = module.CLASS_MOMENTS
    kept = gathered("class_fid", *normal(300, 0), real=True)[statistic]
    again = statistic.of_arrays(statistic.to_arrays(kept))
    assert list(again) == [0, 1, 2]
    for k in again:
        assert again[k].count == kept[k].count
        np.testing.assert_array_equal(again[k].sigma_sqrt, kept[k].sigma_sqrt)
        np.testing.assert_array_equal(again[k].mu, kept[k].mu)


def test_a_class_that_one_side_has_less_than_twice_is_left_out():
    real, generated = normal(300, 0), normal(300, 1)
    few = torch.cat([(generated[1] == 0).nonzero().flatten(), (generated[1] == 1).nonzero().flatten()[:1]])
    parts = [part[few] for part in generated]
    comparison = Comparison(
        gathered("class_fid", *parts, real=False), gathered("class_fid", *real, real=True)
    )
    assert METRICS["class_fid"].evidence(comparison)["classes"].tolist() == [0]
    none = Comparison(
        gathered("class_fid", parts[0][-1:], parts[1][-1:], parts[2][-1:], real=False), comparison.real
    )
    figures = compute_metrics({"class_fid": METRICS["class_fid"]}, none)
    assert figures == dict.fromkeys(METRICS["class_fid"].figures)


@pytest.mark.parametrize(
    "generated, least",
    [([30, 30, 40], 0.75), ([100, 0, 0], 0.0), ([50, 25, 25], 0.625), ([40, 20, 40], 0.5)],
)
def test_the_least_class_share_is_the_rarest_class_against_its_share_of_the_train_images(generated, least):
    def images(counts):
        classes = np.repeat(np.arange(3), counts)
        return torch.zeros(len(classes), 2), torch.from_numpy(classes), recognised_as(classes, 3)

    features, _, logits = images(generated)
    comparison = Comparison(
        gathered("class_shares", features, None, logits, real=False),
        gathered("class_shares", *images([20, 40, 40]), real=True),
    )
    figures = compute_metrics({"class_shares": METRICS["class_shares"]}, comparison)
    assert figures == {"least_class_share": pytest.approx(least)}
    evidence = METRICS["class_shares"].evidence(comparison)
    np.testing.assert_allclose(evidence["generated"], np.array(generated) / 100)
    np.testing.assert_allclose(evidence["real"], [0.2, 0.4, 0.4])


def test_classes_that_are_not_the_datasets_own_have_no_shares():
    features, labels, logits = normal(100, 0)
    comparison = Comparison(
        gathered("class_shares", features, None, logits, real=False),
        gathered("class_shares", features, labels, logits, real=True, labelled=False),
    )
    assert not METRICS["class_shares"].applies_to(comparison)


def test_labels_that_were_not_asked_for_have_no_fid_within_classes():
    features, labels, logits = normal(100, 0)
    comparison = Comparison(
        gathered("class_fid", features, None, logits, real=False),
        gathered("class_fid", features, labels, logits, real=True),
    )
    assert not METRICS["class_fid"].applies_to(comparison)
