import numpy as np
import pytest
import torch

from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.metrics.fid_infinity import SIZES, distances_by_size, extrapolated, sizes_of
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, frechet_distance


def gaussian(features):
    return Gaussian(features.mean(axis=0), np.cov(features, rowvar=False), len(features))


def test_sizes_are_those_of_the_paper_or_from_a_tenth():
    assert list(sizes_of(50_000, 2048)[[0, 1, -1]]) == [5000, 8214, 50_000]
    assert list(sizes_of(200_000, 2048)[[0, -1]]) == [5000, 200_000]
    assert list(sizes_of(2000, 128)[[0, -1]]) == [200, 2000]
    assert list(sizes_of(10_000, 2048)[[0, -1]]) == [2049, 10_000]
    assert sizes_of(2050, 2048) is None and sizes_of(1000, 2048) is None


def test_a_line_is_carried_on_to_infinitely_many():
    sizes = np.array([100, 200, 400])
    assert extrapolated(sizes, 3.5 + 70 / sizes) == pytest.approx(3.5)


def test_each_size_has_the_distance_of_so_many_of_one_order():
    numbers = np.random.RandomState(0)
    real, fake = numbers.normal(size=(200, 5)), numbers.normal(0.3, 1, (150, 5))
    reference = FrechetReference.of(gaussian(real))
    found = distances_by_size(reference, torch.from_numpy(fake), np.array([30, 90, 150]), seed=4)
    order = np.random.RandomState(4).permutation(150)
    expected = [frechet_distance(reference, gaussian(fake[order[:size]])) for size in (30, 90, 150)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_bias_by_the_number_of_samples_is_gone():
    numbers = np.random.RandomState(1)
    dimensions, count = 16, 400
    truth = dimensions * 0.2**2
    reference = FrechetReference(np.zeros(dimensions), np.eye(dimensions), np.eye(dimensions), 10**6)
    metric, found, plain = METRICS["fid_infinity"], [], []
    for seed in range(60):
        features = numbers.normal(0.2, 1, (count, dimensions))
        values = {"features": torch.from_numpy(features)}
        comparison = Comparison(ImageSet(count, values), ImageSet(10**6, {"moments": reference}), seed=seed)
        found.append(metric.compute(comparison)["fid_infinity"])
        plain.append(frechet_distance(reference, gaussian(features)))
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error
    assert np.mean(plain) - truth > 6 * error


def test_the_evidence_is_the_line_and_few_samples_have_none():
    numbers = np.random.RandomState(2)
    reference = FrechetReference.of(gaussian(numbers.normal(size=(100, 4))))
    real = ImageSet(100, {"moments": reference})

    def compared(count):
        return Comparison(
            ImageSet(count, {"features": torch.from_numpy(numbers.normal(size=(count, 4)))}), real
        )

    metric, many, few = METRICS["fid_infinity"], compared(60), compared(15)
    evidence = metric.evidence(many)
    assert len(evidence["sizes"]) == len(evidence["distances"]) == SIZES
    assert metric.compute(many)["fid_infinity"] == extrapolated(evidence["sizes"], evidence["distances"])
    assert metric.settings(many) == "fid_infinity=15 sizes of 6-60"
    assert metric.compute(few) == {"fid_infinity": None}
    assert metric.evidence(few) == {} and metric.settings(few) == ""
