import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from torch.nn import functional

from gan_core.evaluation.judging.impostors import MOST_COPYING
from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet, chosen_metrics, compute_metrics
from gan_core.evaluation.metrics.base import FEATURES, PIXELS
from gan_core.evaluation.metrics.copying import (
    DISTANCES,
    LEAST_IN_CELL,
    Nearness,
    copying_picture,
    ct_score,
    distances_in_cells,
    fit_cells,
    nearness,
    pixel_distances,
    square_of,
)
from gan_core.evaluation.metrics.diversity.distinct import SPACING, near_duplicates
from gan_core.evaluation.statistics import moments as statistics

REAL = (FEATURES, PIXELS, DISTANCES, SPACING)


def digits():
    """scikit-learn's digits as the dataset has them: uint8 (1797, 1, 16, 16), in a seeded order."""
    images = torch.from_numpy(load_digits().images).float()[:, None] * (255 / 16)
    images = functional.interpolate(images, size=16, mode="bicubic", align_corners=False)
    order = np.random.RandomState(0).permutation(len(images))
    return images.round().clamp(0, 255).to(torch.uint8)[order]


def of_images(images):
    """Features are 30 fixed projections of the pixels, as uneven as an extractor's."""
    directions = np.random.RandomState(1).normal(size=(images[0].numel(), 30)) * np.linspace(1, 3, 30)
    features = images.flatten(1).float() @ torch.from_numpy(directions).float()
    return ImageSet(len(images), {"features": features, "pixels": images.flatten(1)})


@pytest.fixture(scope="module")
def real():
    images = digits()
    train, test = of_images(images[:1200]), of_images(images[1200:])
    return images, train.prepared(REAL), test.prepared(REAL, train)


def figures_of(samples, real, **options):
    _, train, test = real
    comparison = Comparison(of_images(samples), train, test, **options)
    return compute_metrics(chosen_metrics(["copying", "distinct"]), comparison)


def noisy(images, deviation):
    noise = torch.from_numpy(np.random.RandomState(2).normal(0, deviation, images.shape))
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def test_unseen_images_are_as_near_as_the_quantile_says_and_no_copies(real):
    found = figures_of(real[0][1200:], real)
    assert found["near_train"] == pytest.approx(0.05, abs=0.003)
    assert found["copying"] == found["copying_pixels"] == found["copying_features"] == 0
    assert found["ct_score"] == pytest.approx(0, abs=1e-9)
    assert found["authenticity"] == found["authenticity_held_out"]


def test_copies_are_found_exact_with_noise_and_shifted(real):
    train = real[0][:600]
    exact = figures_of(train, real)
    assert exact["copying_pixels"] == exact["copying_features"] == 1
    assert exact["authenticity"] == 0 and exact["ct_score"] < -10
    assert figures_of(noisy(train, 16), real)["copying_pixels"] > 0.99
    assert figures_of(torch.roll(train, 1, dims=3), real)["copying"] > 0.9


def test_half_of_the_samples_copied_is_about_half(real):
    images = real[0]
    mixed = (images[1200:1500].float() + images[1497:1797].float()) / 2  # like no image
    found = figures_of(torch.cat([images[:300], mixed.to(torch.uint8)]), real)
    assert found["copying"] == pytest.approx(0.5, abs=0.03)
    assert found["copying"] == max(found["copying_pixels"], found["copying_features"])


def of_noisy_data() -> tuple[torch.Tensor, ImageSet, ImageSet]:
    """Digits without noise that nothing was made from, and train and test images with so much of it that what
    has none is nearer to any of them than they are to each other: like blurred samples of photographs."""
    images = digits()
    train, test = (of_images(noisy(part, 70)) for part in (images[:800], images[800:1200]))
    return images[1200:], train.prepared(REAL), test.prepared(REAL, train)


def test_what_is_near_any_image_is_no_copy():
    smooth, train, test = of_noisy_data()
    copying = METRICS["copying"]
    comparison = Comparison(of_images(smooth), train, test)
    found = copying.compute(comparison)
    assert found["near_train"] > MOST_COPYING and found["copying"] < 0.1
    low, high = copying.interval(comparison)
    assert low == 0 and high > found["copying"]
    # The images that were trained on, without their noise, are copies all the same.
    learned = copying.interval(Comparison(of_images(digits()[:800]), train, test))
    assert learned[0] > MOST_COPYING


def test_a_collapse_that_is_near_a_training_image_by_chance_is_no_proof_of_copying():
    smooth, train, test = of_noisy_data()
    for number in range(8):  # four in five are nearer to a train image
        repeated = Comparison(of_images(smooth[[number]].repeat(500, 1, 1, 1)), train, test)
        assert METRICS["copying"].interval(repeated)[0] == 0


def near(samples: int, near: int, neighbours: int, held_out: int, expected: float | None) -> Nearness:
    return Nearness(samples, near, near, neighbours, held_out, expected)


def test_copies_are_what_chance_leaves_over():
    assert near(1000, 500, 400, 40, 0.2).copied == pytest.approx(0.25)
    assert near(1000, 500, 400, 80, 0.2).copied == near(1000, 500, 400, 200, 0.2).copied == 0
    assert near(1000, 0, 0, 0, 0.2).copied == 0 and near(1000, 0, 0, 0, 0.2).interval()[0] == 0
    low, high = near(1000, 1000, 1000, 0, 0.2).interval()
    assert 0.95 < low < high <= 1


def test_a_test_split_that_is_too_small_to_tell_does_not_hide_copies():
    distances, numbers = np.zeros(1000), np.arange(1000)
    others = (np.ones(1000), np.zeros(1000, dtype=int))
    found = nearness((distances, numbers), others, 0.5, (50_000, 100))
    assert found.expected is None and found.copied == 1 and found.interval()[0] > 0.99
    assert nearness((distances, numbers), others, 0.5, (5_000, 1_000)).expected == pytest.approx(1 / 6)


def test_pixel_distances_are_the_least_over_shifts_without_the_border():
    images = np.random.RandomState(3).randint(0, 256, (40, 3, 10, 10), dtype=np.uint8)
    queries, points = images[:15], images[15:]
    cuts = [queries[:, :, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    inner = points[:, :, 1:9, 1:9].reshape(25, -1).astype(float)
    expected = np.min([cdist(cut.reshape(15, -1).astype(float), inner) for cut in cuts], axis=0)
    distances, numbers = pixel_distances(*(torch.from_numpy(part).flatten(1) for part in (queries, points)))
    np.testing.assert_allclose(distances, expected.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(numbers, expected.argmin(axis=1))


def test_images_that_are_no_squares_are_compared_as_they_are():
    assert square_of(3 * 16 * 16) == (3, 16) and square_of(28 * 28) == (1, 28) and square_of(40) is None
    rows = torch.from_numpy(np.random.RandomState(4).randint(0, 256, (30, 40), dtype=np.uint8))
    expected = cdist(rows[:10].double(), rows[10:].double())
    distances, numbers = pixel_distances(rows[:10], rows[10:])
    np.testing.assert_allclose(distances, expected.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(numbers, expected.argmin(axis=1))


def test_authenticity_is_that_of_all_distances(real):
    images, train, _ = real
    found = figures_of(images[1200:1400], real)
    to_train = cdist(of_images(images[1200:1400])[FEATURES].double(), train[FEATURES].double())
    own = cdist(train[FEATURES].double(), train[FEATURES].double())
    np.fill_diagonal(own, np.inf)
    expected = (to_train.min(axis=1) > own.min(axis=1)[to_train.argmin(axis=1)]).mean()
    assert found["authenticity"] == pytest.approx(expected, abs=1e-12)


def reference_ct(generated, held_out, train, cells):
    """C_T by its definition, pair by pair."""

    def project(features):
        return (features.double().numpy() - cells["mean"]) @ cells["components"].T

    def nearest_in(rows, cell):
        inside = [cdist(part, cells["centres"]).argmin(axis=1) == cell for part in (rows, project(train))]
        return cdist(rows[inside[0]], project(train)[inside[1]]).min(axis=1)

    score, total = 0.0, 0
    for cell in range(len(cells["centres"])):
        x, y = nearest_in(project(generated), cell), nearest_in(project(held_out), cell)
        if len(x) < LEAST_IN_CELL:
            continue
        statistic = (x[:, None] > y[None]).sum() + 0.5 * (x[:, None] == y[None]).sum()
        deviation = np.sqrt(len(x) * len(y) * (len(x) + len(y) + 1) / 12)
        score += len(y) * (statistic - len(x) * len(y) / 2) / deviation
        total += len(y)
    return score / total


def test_ct_is_the_mean_of_mann_whitney_scores_of_cells(real):
    images, train, test = real
    cells = fit_cells(train[FEATURES])
    assert cells["centres"].shape == (3, 30) and fit_cells(train[FEATURES])["mean"] is not cells["mean"]
    for samples in (images[:200], noisy(images[1200:1500], 40)):
        features = of_images(samples)[FEATURES]
        expected = reference_ct(features, test[FEATURES], train[FEATURES], cells)
        assert figures_of(samples, real)["ct_score"] == pytest.approx(expected, rel=1e-9)


def test_ct_needs_a_cell_with_enough_samples(real):
    _, train, test = real
    of_test = (test[DISTANCES]["in_cells"], test[DISTANCES]["cells"])
    few = distances_in_cells(test[FEATURES][: LEAST_IN_CELL - 1], train[FEATURES], train[DISTANCES])
    assert ct_score(few, of_test) is None
    assert ct_score(of_test, of_test) == 0


def test_the_closest_pairs_are_evidence_by_the_numbers_of_images(real, monkeypatch):
    images, train, test = real
    samples = torch.cat([images[1200:1400], images[[7]]])
    evidence = METRICS["copying"].evidence(Comparison(of_images(samples), train, test))
    assert (evidence["sample"][0], evidence["train"][0], evidence["nearness"][0]) == (200, 7, 0)
    assert evidence["pixels"][0] == evidence["features"][0] == 0
    assert len(evidence["sample"]) == 12 and list(evidence["nearness"]) == sorted(evidence["nearness"])

    # Where not all images are kept, rows are not the numbers of images.
    monkeypatch.setattr(statistics, "MAX_KEPT", 150)
    kept = statistics.kept_images(201, 5)
    few = of_images(images[torch.from_numpy(statistics.kept_images(1200, 5))]).prepared(REAL)
    of_kept = of_images(samples[torch.from_numpy(kept)])
    some = Comparison(ImageSet(201, of_kept.values), ImageSet(1200, few.values), test, seed=5)
    evidence = METRICS["copying"].evidence(some)
    assert set(evidence["sample"]) <= set(kept.tolist()) and max(evidence["train"]) > 150


def test_the_picture_shows_samples_above_their_train_images():
    samples = torch.arange(0, 120, 10).to(torch.uint8)[:, None, None, None].expand(12, 3, 32, 32)
    png = copying_picture(samples, samples + 100)
    drawn = np.asarray(Image.open(io.BytesIO(png)))
    assert drawn.shape == (32 * 2 + 2, 12 * 32 + 11 * 2, 3)
    assert list(drawn[5, 10::34, 0]) == list(range(0, 120, 10))
    assert list(drawn[50, 10::34, 0]) == list(range(100, 220, 10))


def test_what_is_known_of_real_images_is_kept_as_arrays(real):
    _, train, test = real
    for images in (train, test):
        for statistic in (DISTANCES, SPACING):
            kept = statistic.of_arrays(statistic.to_arrays(images[statistic]))
            np.testing.assert_equal(kept, images[statistic])


def test_without_a_test_split_copying_is_empty_and_distinct_is_not(real):
    comparison = Comparison(of_images(real[0][1200:1300]), real[1])
    found = compute_metrics(chosen_metrics(["copying", "distinct"]), comparison)
    of_distinct = {name: found[name] for name in METRICS["distinct"].figures}
    assert found == {**dict.fromkeys(METRICS["copying"].figures), **of_distinct}
    assert found["distinct"] > 90


def test_distinct_images_are_those_without_an_earlier_near_duplicate(real):
    images = real[0]
    repeated = images[1200:1210].repeat(20, 1, 1, 1)
    assert figures_of(repeated, real)["distinct"] == 10
    assert figures_of(noisy(repeated, 8), real)["distinct"] == 10
    unseen = figures_of(images[1200:], real)["distinct"]
    assert 0.95 * 597 < unseen <= 597
    rows = of_images(images[1200:])[PIXELS]
    distances = np.tril(cdist(rows.double(), rows.double()), -1) + np.triu(np.full((597, 597), np.inf))
    assert (~near_duplicates(rows, 400.0).repeats).sum() == (distances > 400.0).all(axis=1).sum()
