"""The in-training evaluation: its figures against scipy, and what they say of a collapsed generator."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.stats import entropy
from torch import nn

from gan_core.config import Latent
from gan_core.evaluation.in_training import (
    BATCH_SIZE,
    InTrainingEvaluation,
    nearest_neighbour_distance,
    perplexity,
    precision_and_recall,
    read_real_images,
    squared_radii,
)
from gan_core.evaluation.metrics.neighbourhoods import K, neighbourhoods, real_balls
from gan_core.evaluation.statistics.moments import Moments
from gan_core.store import Store
from tests.gan_core.evaluation.conftest import draw


class Flat:
    """Features: the pixels' means over the quadrants."""

    name = "flat"

    def extract(self, images):
        return nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1), None


class Drawing(nn.Module):
    """A generator whose images are `images`, chosen by the first latent number."""

    n_classes, image_range, latent = 0, (-1.0, 1.0), Latent(size=2)

    def __init__(self, images):
        super().__init__()
        self.images = nn.Parameter(images.float() / 127.5 - 1)

    def forward(self, z, labels=None):
        place = (torch.special.ndtr(z[:, 0]) * len(self.images)).long().clamp(max=len(self.images) - 1)
        return self.images[place]


def random_images(count: int, seed: int) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(seed)
    base = torch.randint(0, 200, (count, 1, 2, 2), generator=numbers)
    return (
        base.repeat_interleave(8, 2).repeat_interleave(8, 3)
        + torch.randint(0, 50, (count, 1, 16, 16), generator=numbers)
    ).to(torch.uint8)


def test_nearest_neighbour_distance_against_scipy():
    images = random_images(60, 0)
    flat = images.flatten(1).numpy().astype(float)
    distances = cdist(flat, flat)
    np.fill_diagonal(distances, np.inf)
    assert nearest_neighbour_distance(images) == pytest.approx(distances.min(axis=1).mean(), rel=1e-12)


def test_large_images_are_compared_at_32_pixels():
    images = torch.randint(0, 256, (20, 3, 64, 64), dtype=torch.uint8)
    small = images.numpy().reshape(20, 3, 32, 2, 32, 2).mean(axis=(3, 5)).reshape(20, -1)
    distances = cdist(small, small)
    np.fill_diagonal(distances, np.inf)
    assert nearest_neighbour_distance(images) == pytest.approx(distances.min(axis=1).mean(), rel=1e-12)


def test_fid_against_scipy():
    real, fake = random_images(200, 0), random_images(150, 1)
    evaluation = InTrainingEvaluation(real, Flat(), seed=3)
    sampler = Drawing(fake).eval()
    row = evaluation.measure(sampler)

    from gan_core.sampling import generate

    drawn = torch.cat([images for images, _ in generate(sampler, 200, seed=3)])
    gaussians = []
    for images in (real, drawn):
        features = Flat().extract(images)[0].double().numpy()
        gaussians.append((features.mean(axis=0), np.cov(features, rowvar=False)))
    (mean_a, cov_a), (mean_b, cov_b) = gaussians
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert row["fid"] == pytest.approx(expected, rel=1e-6)


def test_the_host_waits_for_features_once_in_many_batches(monkeypatch):
    """And they have the moments that they would have batch by batch, to the bit."""
    sizes, by_batch = [], Moments()
    update = Moments.update

    def watched(moments, features):
        sizes.append(len(features))
        update(moments, features)

    real = random_images(1_100, 0)
    for images in real.split(BATCH_SIZE):
        by_batch.update(Flat().extract(images)[0])
    monkeypatch.setattr(Moments, "update", watched)
    evaluation = InTrainingEvaluation(real, Flat(), seed=3)
    assert sizes == [1_024, 76]
    np.testing.assert_array_equal(evaluation.reference.mu, by_batch.gaussian().mu)
    np.testing.assert_array_equal(evaluation.reference.sigma, by_batch.gaussian().sigma)


def test_diversity_tells_a_collapsed_generator():
    real = random_images(200, 0)
    evaluation = InTrainingEvaluation(real, None, seed=0)
    figures = {
        name: evaluation.measure(Drawing(images).eval())
        for name, images in {
            "as many": random_images(20_000, 1),
            "one": random_images(1, 1),
            "ten": random_images(10, 1),
        }.items()
    }
    assert "fid" not in figures["one"]
    assert figures["as many"]["diversity"] == pytest.approx(1, abs=0.1)
    assert figures["one"]["diversity"] == 0
    assert figures["ten"]["diversity"] < 0.1


def test_real_images_that_are_all_the_same():
    same = torch.zeros(10, 1, 16, 16, dtype=torch.uint8)
    assert InTrainingEvaluation(same, None, seed=0).measure(Drawing(same).eval())["diversity"] == 1


def test_perplexity_against_scipy():
    counts = torch.tensor([5, 0, 12, 1, 30])
    assert perplexity(counts) == pytest.approx(np.exp(entropy(counts.numpy())), rel=1e-12)
    assert perplexity(torch.tensor([7, 7, 7, 0])) == pytest.approx(3)
    assert perplexity(torch.tensor([0, 9])) == 1


class FourClasses(Flat):
    """The class is the brightest quadrant."""

    def extract(self, images):
        features = super().extract(images)[0]
        return features, features


def test_the_classes_of_samples_beside_those_of_real_images():
    real = random_images(400, 0)
    evaluation = InTrainingEvaluation(real, FourClasses(), seed=0)
    all_of_them = evaluation.measure(Drawing(random_images(20_000, 1)).eval())
    classes = FourClasses().extract(real)[1].argmax(1)
    counts = np.bincount(classes.numpy(), minlength=4)
    assert all_of_them["real_class_perplexity"] == pytest.approx(np.exp(entropy(counts)), rel=1e-12)
    assert all_of_them["class_perplexity"] > 3.8
    two = real[classes < 2]
    assert evaluation.measure(Drawing(two).eval())["class_perplexity"] == pytest.approx(2, abs=0.1)
    assert "class_perplexity" not in InTrainingEvaluation(real, Flat(), seed=0).measure(Drawing(real).eval())


@pytest.fixture
def shards(tmp_path, make_dataset, make_shards):
    """Two shards of 25 images each."""
    return make_shards(Store(tmp_path), make_dataset(splits=("train",)), counts={"train": 50})


def test_real_images_come_evenly_from_the_split(tmp_path, shards):
    everything = read_real_images(Store(tmp_path), shards, 1000)
    np.testing.assert_array_equal(everything.numpy(), draw(50)[0])
    some = read_real_images(Store(tmp_path), shards, 8)
    assert torch.equal(some, everything[[0, 7, 14, 21, 28, 35, 42, 49]])


def test_precision_and_recall_are_those_of_the_metrics():
    numbers = torch.Generator().manual_seed(0)
    real = torch.randn(300, 12, generator=numbers)
    generated = torch.randn(280, 12, generator=numbers) * 0.7 + 0.1
    found = neighbourhoods(generated, real, real_balls(real))
    expected = {"precision": (found.in_real > 0).mean(), "recall": (found.reached > 0).mean()}
    assert 0.2 < expected["recall"] < 0.9
    assert precision_and_recall(generated, real) == pytest.approx(expected)


def test_radii_that_are_known_change_nothing():
    numbers = torch.Generator().manual_seed(1)
    real, generated = (torch.randn(120, 6, generator=numbers) for _ in range(2))
    known = squared_radii(real)
    assert precision_and_recall(generated, real, known) == precision_and_recall(generated, real)


def test_images_that_are_repeated_are_in_no_ball_of_rounding():
    """Every real image ten times: the balls have no width, and nothing is nearer than that."""
    numbers = torch.Generator().manual_seed(0)
    once = torch.rand(97, 512, generator=numbers)
    real = once.repeat(10, 1)
    assert precision_and_recall(real, real) == {"precision": 0.0, "recall": 0.0}
    # A ball of rounding is none, and a narrow one is.
    narrow = once + 1e-4 * torch.randn(10, *once.shape, generator=numbers)
    assert precision_and_recall(once, narrow.flatten(0, 1))["precision"] == 1.0


def test_too_few_images_have_neither_precision_nor_recall():
    features = torch.rand(K, 3)
    assert precision_and_recall(features, torch.rand(50, 3)) == {}
    assert precision_and_recall(torch.rand(50, 3), features) == {}


def test_a_collapsed_generator_has_no_recall():
    real = random_images(200, 0)
    evaluation = InTrainingEvaluation(real, Flat(), seed=0)
    honest = evaluation.measure(Drawing(random_images(20_000, 1)).eval())
    assert honest["recall"] > 0.7 and honest["precision"] > 0.7
    assert evaluation.measure(Drawing(real[:3]).eval())["recall"] < 0.05
