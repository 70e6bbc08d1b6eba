import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.metrics.base import PIXELS
from gan_core.evaluation.metrics.diversity import distinct as module
from gan_core.evaluation.metrics.diversity.distinct import SPACING, closest_pairs, near_duplicates

METRIC = METRICS["distinct"]


def of_rows(rows):
    return ImageSet(len(rows), {"pixels": rows})


@pytest.fixture(scope="module")
def digits():
    """Distinct digits at 8x8, uint8 (n, 64), in a seeded order."""
    rows = np.unique((load_digits().images * 15).astype(np.uint8).reshape(-1, 64), axis=0)
    return torch.from_numpy(rows[np.random.RandomState(0).permutation(len(rows))])


@pytest.fixture(scope="module")
def train(digits):
    return of_rows(digits[:1000]).prepared((PIXELS, SPACING))


def test_near_duplicates_are_those_of_the_whole_matrix(digits):
    distances = cdist(digits[:500].double(), digits[:500].double())
    np.fill_diagonal(distances, np.inf)
    limit = float(np.quantile(distances.min(axis=1), 0.2))
    found = near_duplicates(digits[:500], limit)
    assert (found.near.numpy() == (distances.min(axis=1) <= limit)).all()
    earlier = np.tril(distances <= limit).any(axis=1)
    assert (found.repeats.numpy() == earlier).all()


def test_of_train_images_themselves_one_in_twenty_has_a_near_duplicate(digits, train):
    found = METRIC.compute(Comparison(of_rows(digits[:1000]), train))
    assert found["near_duplicates"] == pytest.approx(0.05, abs=0.01)  # ties included


def test_repeated_images_all_have_one_and_noise_has_none(digits, train):
    repeated = METRIC.compute(Comparison(of_rows(digits[1000:1010].repeat(20, 1)), train))
    assert repeated == {"distinct": 10, "near_duplicates": 1.0}
    noise = torch.from_numpy(np.random.RandomState(1).randint(0, 256, (300, 64), dtype=np.uint8))
    assert METRIC.compute(Comparison(of_rows(noise), train)) == {"distinct": 300, "near_duplicates": 0.0}


def test_closest_pairs_are_the_nearest_of_the_matrix_and_each_image_is_shown_once(digits):
    rows = digits[:400]
    distances = cdist(rows.double(), rows.double())
    np.fill_diagonal(distances, np.inf)
    pairs, found = closest_pairs(rows, 0.0)
    assert found[0] == distances.min() and (np.diff(found) >= 0).all()
    assert found == pytest.approx([distances[i, j] for i, j in pairs])
    assert len(pairs) == 12 and len(np.unique(pairs)) == 24
    repeated, apart = closest_pairs(rows[:5].repeat(30, 1), 1.0)
    assert sorted(number % 5 for number in repeated[:, 0]) == list(range(5))
    assert (repeated[:, 0] % 5 == repeated[:, 1] % 5).all() and (apart == 0).all()


def test_the_evidence_names_images_of_the_whole_set_and_the_picture_shows_them(digits, train, monkeypatch):
    from gan_core.evaluation.metrics import neighbourhoods
    from gan_core.evaluation.statistics import moments

    monkeypatch.setattr(neighbourhoods, "MOST", 60)
    monkeypatch.setattr(moments, "MAX_KEPT", 100)
    images = digits[:300].clone()
    images[::2] = images[0]  # half of all are one image: some of the 60 that are compared are
    kept = images[moments.kept_images(300, 5)]
    comparison = Comparison(ImageSet(300, {"pixels": kept}), train, seed=5)
    found = METRIC.evidence(comparison)
    one, other = found["pairs"][0]
    assert one % 2 == other % 2 == 0 and one != other and found["nearness"][0] == 0
    expected = [
        np.linalg.norm(images[i].double() - images[j].double()) / train[SPACING] for i, j in found["pairs"]
    ]
    assert found["nearness"] == pytest.approx(expected)
    png = METRIC.picture(found, lambda numbers: images[numbers].view(-1, 1, 8, 8), None)
    picture = np.asarray(Image.open(io.BytesIO(png)))
    scale = picture.shape[0] // 16
    assert (picture[: 8 * scale : scale, : 8 * scale : scale] == images[one].view(8, 8).numpy()).all()
    assert module.PAIRS >= len(found["pairs"]) > 0
