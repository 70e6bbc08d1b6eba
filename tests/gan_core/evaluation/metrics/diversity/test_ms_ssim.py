import numpy as np
import pytest
import torch

from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.statistics.thumbnails import Thumbnails
from tests.gan_core.evaluation.conftest import draw

METRIC = METRICS["ms_ssim"]


def side(images, classes=None):
    known = None if classes is None else torch.as_tensor(np.asarray(classes), dtype=torch.int64)
    value = Thumbnails(torch.as_tensor(images), known)
    gathered = ImageSet(len(images), {"thumbnails": value, "real_thumbnails": value})
    prepared = gathered.prepared(METRIC.real)
    return ImageSet(len(images), {"thumbnails": value, **prepared.values})


@pytest.fixture(scope="module")
def real():
    return side(*draw(300, noise=40, seed=1))


def test_images_of_the_same_distribution_are_as_alike_as_the_real_ones(real):
    comparison = Comparison(side(*draw(300, noise=40, seed=2)), real)
    found, (low, high) = METRIC.compute(comparison), METRIC.interval(comparison)
    assert low < found["ms_ssim"] < high
    assert found["ms_ssim"] == pytest.approx(found["ms_ssim_real"], abs=2 * (high - low))
    assert set(METRIC.evidence(comparison)["classes"]) == {0, 1, 2}


def test_a_class_of_one_image_is_seen_within_its_class_only(real):
    images, classes = draw(300, noise=40, seed=3)
    images[classes == 1] = images[1]
    comparison = Comparison(side(images, classes), real)
    evidence = METRIC.evidence(comparison)
    assert evidence["generated"][1] == pytest.approx(1)
    assert evidence["generated"][0] == pytest.approx(evidence["real"][0], abs=0.05)
    found = METRIC.compute(comparison)
    others = (evidence["generated"][0] + evidence["generated"][2] + 1) / 3
    assert found["ms_ssim"] == pytest.approx(others) and found["ms_ssim"] > found["ms_ssim_real"] + 0.1


def test_without_classes_pairs_are_of_any_images(real):
    images, classes = draw(300, noise=40, seed=2)
    within = METRIC.compute(Comparison(side(images, classes), real))
    for sides in ((side(images), real), (side(images, classes), side(*draw(300, noise=40, seed=1)[:1]))):
        comparison = Comparison(*sides)
        found = METRIC.compute(comparison)
        assert found["ms_ssim"] < within["ms_ssim"] and found["ms_ssim_real"] < within["ms_ssim_real"]
        assert list(METRIC.evidence(comparison)["classes"]) == [0]
        assert METRIC.settings(comparison) == "ms_ssim=all,16px,1x11 of 300/300"
    assert METRIC.settings(Comparison(side(images, classes), real)).startswith("ms_ssim=classes,")


def test_noise_is_less_alike_than_any_images_which_is_no_merit(real):
    noise = np.random.RandomState(0).randint(0, 256, (200, 1, 16, 16), dtype=np.uint8)
    found = METRIC.compute(Comparison(side(noise, np.arange(200) % 3), real))
    assert abs(found["ms_ssim"]) < 0.1 < found["ms_ssim_real"]


def test_where_there_is_no_pair_there_is_no_figure(real):
    images, _ = draw(3, seed=4)
    comparison = Comparison(side(images, [0, 1, 2]), real)
    assert METRIC.compute(comparison)["ms_ssim"] is None
    assert METRIC.interval(comparison) is None
    assert len(METRIC.evidence(comparison)["classes"]) == 0
