"""Impostors on real digits: sets of images that a distance takes for a good generator's, and honest ones."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch.nn import functional

from benchmarks.impostors import EXPECTED, impostor_sets, with_noise
from gan_core.data.loading import ResidentImages
from gan_core.evaluation.extraction import Accumulator
from gan_core.evaluation.judging.impostors import (
    COPIES,
    DROPS,
    IMPOSTORS,
    LITTLE,
    REPEATS,
    UNLIKE,
    findings_of_samples,
    is_impostor,
)
from gan_core.evaluation.metrics import Comparison, chosen_metrics, compute_metrics, statistics_needed
from gan_core.evaluation.metrics.base import Batch

METRICS = chosen_metrics(["fid", "precision", "coverage", "class_coverage", "copying", "distinct"])
COUNT = 1000


class Digits:
    """The digits of the dataset, measured by the features and classes of a small model of their own."""

    def __init__(self):
        loaded = load_digits()
        images = torch.from_numpy(loaded.images).float()[:, None] * (255 / 16)
        images = functional.interpolate(images, size=16, mode="bicubic", align_corners=False)
        order = np.random.RandomState(0).permutation(len(images))
        images = images.round().clamp(0, 255).to(torch.uint8)[order]
        labels = torch.from_numpy(loaded.target)[order]
        names = [str(digit) for digit in range(10)]
        self.train = ResidentImages(images[:1440], labels[:1440], names)
        self.test = ResidentImages(images[1440:], labels[1440:], names)
        rows = self.train.images.flatten(1).float() / 255
        self.pca = PCA(32, random_state=0).fit(rows)
        needed = statistics_needed(METRICS.values(), real=True)
        train, test = (self.gather(part.images, part.labels) for part in (self.train, self.test))
        self.real, self.held_out = train.prepared(needed), test.prepared(needed, train)

    def gather(self, images, labels=None):
        needed = statistics_needed(METRICS.values(), real=labels is not None)
        gathered = Accumulator(needed, len(images), classes=True, labels=labels is not None)
        rows = self.pca.transform(images.flatten(1).float() / 255)
        # Bounded features, as those of a network are.
        features = torch.from_numpy(np.tanh(rows * 0.7)).float()
        gathered.update(Batch(images, features, torch.zeros(len(images), 10), labels))
        return gathered.finish()

    def measured(self, images):
        """Figures and findings of a set of samples."""
        figures = compute_metrics(METRICS, Comparison(self.gather(images), self.real, self.held_out))
        found = findings_of_samples(figures, samples=len(images), real_images=self.real.count)
        return figures, found

    def drawn(self, components, noise, seed):
        """Samples of an honest generator, uint8 (COUNT, 1, 16, 16): a Gaussian of each class, by so many
        principal components, with noise."""
        numbers = np.random.RandomState(seed)
        rows = self.train.images.flatten(1).numpy() / 255
        images = []
        for digit in range(10):
            of_class = rows[self.train.labels.numpy() == digit]
            pca = PCA(components, random_state=0).fit(of_class)
            scores = numbers.normal(size=(COUNT // 10, components)) * np.sqrt(pca.explained_variance_)
            images.append(pca.inverse_transform(scores))
        images = torch.from_numpy(np.concatenate(images) * 255).view(-1, 1, 16, 16)
        return with_noise(images, noise, numbers)


@pytest.fixture(scope="module")
def digits():
    return Digits()


@pytest.fixture(scope="module")
def honest(digits):
    """Good, middling and weak generators, and one that is hardly any."""
    settings = {"good": (20, 5), "middling": (8, 20), "weak": (3, 30), "hardly": (1, 70)}
    samples = {name: digits.drawn(*values, seed=5) for name, values in settings.items()}
    return {name: digits.measured(images) for name, images in samples.items()}


@pytest.fixture(scope="module")
def impostors(digits):
    sets = impostor_sets(digits.train, digits.test, COUNT)
    return {name: digits.measured(images) for name, images in sets.items()}


def test_each_impostor_is_called_what_it_is(impostors):
    assert set(impostors) == set(EXPECTED)
    for name, (_, findings) in impostors.items():
        assert EXPECTED[name] in [finding["verdict"] for finding in findings], name


def test_generators_and_unseen_images_are_no_impostors(digits, honest):
    for name, (_, findings) in {**honest, "unseen": digits.measured(digits.test.images)}.items():
        assert not is_impostor(findings), name
    assert digits.measured(digits.test.images)[1] == []


def test_no_impostor_ranks_above_a_generator_though_its_distance_is_lower(honest, impostors):
    def order(measured):
        figures, findings = measured
        return is_impostor(findings), figures["fid"]

    worst = max(map(order, honest.values()))
    assert all(order(measured) > worst for measured in impostors.values())
    # By the distance alone most would.
    better = {name for name, (figures, _) in impostors.items() if figures["fid"] < worst[1]}
    assert {"hundred images", "fifty images per class", "copied", "three classes dropped"} <= better


def test_images_that_were_never_trained_on_are_repeated_but_not_copied(digits):
    _, findings = digits.measured(digits.test.images[:10].repeat(50, 1, 1, 1))
    verdicts = [finding["verdict"] for finding in findings]
    assert REPEATS in verdicts and COPIES not in verdicts


def test_a_collapse_to_blurred_images_is_called_repeated_and_not_copied(digits):
    means = [digits.train.images[digits.train.labels == digit].float().mean(0) for digit in range(10)]
    for kept in (10, 3, 1):
        blurred = torch.stack(means[:kept]).round().to(torch.uint8).repeat(COUNT // kept, 1, 1, 1)
        verdicts = [finding["verdict"] for finding in digits.measured(blurred)[1]]
        assert REPEATS in verdicts and COPIES not in verdicts


def test_one_sample_in_three_that_is_copied_is_enough(digits):
    mixed = torch.cat([digits.drawn(8, 20, 6)[::2], digits.train.images[:250]])
    assert COPIES in [finding["verdict"] for finding in digits.measured(mixed)[1]]


def test_a_finding_is_a_record_as_a_training_has_them():
    figures = {
        "distinct": 10,
        "copying": 1.0,
        "coverage": 0.02,
        "precision": 0.0,
        "least_class_coverage": None,
    }
    found = findings_of_samples(figures, samples=2000, real_images=1440, images_seen=7)
    assert [finding["verdict"] for finding in found] == [REPEATS, COPIES, LITTLE, UNLIKE]
    for finding in found:
        assert set(finding) == {"verdict", "text", "figure", "images_seen", "keys"}
        assert finding["images_seen"] == 7 and finding["keys"] and finding["text"]
    assert found[0]["figure"] == 10 / 2000
    assert "10 are no near-duplicate" in found[0]["text"] and "of 2,000 samples" in found[0]["text"]


def test_classes_are_dropped_only_where_others_are_reached():
    def verdicts(least, most):
        figures = {"least_class_coverage": least, "most_class_coverage": most}
        return [item["verdict"] for item in findings_of_samples(figures, samples=1000, real_images=1000)]

    assert verdicts(0.1, 0.95) == [DROPS]
    assert verdicts(0.01, 0.4) == verdicts(0.6, 0.99) == verdicts(0.1, None) == []


def test_what_is_missing_is_not_judged():
    assert findings_of_samples({}, samples=100, real_images=100) == []
    figures = dict.fromkeys(("distinct", "copying", "coverage", "precision", "least_class_coverage"))
    assert findings_of_samples(figures, samples=100, real_images=100) == []


def test_coverage_is_judged_by_what_so_few_samples_can_reach():
    # 20 samples of the same distribution reach 9% of 1,000 images.
    assert findings_of_samples({"coverage": 0.04}, samples=20, real_images=1000) == []
    found = findings_of_samples({"coverage": 0.04}, samples=1000, real_images=1000)
    assert [finding["verdict"] for finding in found] == [LITTLE] and not is_impostor(found)


def test_of_large_sets_only_those_compared_count():
    assert findings_of_samples({"distinct": 9_800}, samples=50_000, real_images=50_000) == []
    found = findings_of_samples({"distinct": 500}, samples=50_000, real_images=50_000)
    assert found[0]["figure"] == 0.05 and set(IMPOSTORS) >= {found[0]["verdict"]}
