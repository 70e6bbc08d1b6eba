import numpy as np
import pytest
import pytorch_msssim
import torch

from gan_core.evaluation.statistics.structural_similarity import WEIGHTS, ms_ssim, scales_of, window_of


def pairs(count, channels, height, width):
    numbers = np.random.RandomState(0)
    smooth = torch.from_numpy(numbers.randint(0, 256, (count, channels, 9, 9))).float()
    first = torch.nn.functional.interpolate(smooth, (height, width), mode="bilinear").byte()
    noise = torch.from_numpy(numbers.normal(0, 30, first.shape))
    return first, (first * 0.8 + noise + 20).clamp(0, 255).byte()


def theirs(first, second, **options):
    return pytorch_msssim.ms_ssim(
        first.float(), second.float(), data_range=255, size_average=False, **options
    ).numpy()


@pytest.mark.parametrize("shape", [(3, 3, 180, 176), (2, 1, 177, 200)])
def test_five_scales_agree_with_the_package(shape):
    first, second = pairs(*shape)
    assert ms_ssim(first, second).numpy() == pytest.approx(theirs(first, second), abs=5e-6)


def test_fewer_scales_and_smaller_windows_agree_with_the_package():
    first, second = pairs(3, 3, 64, 65)
    weights = [weight / sum(WEIGHTS[:3]) for weight in WEIGHTS[:3]]
    expected = theirs(first, second, win_size=3, weights=weights)
    assert ms_ssim(first, second, window=3, scales=3).numpy() == pytest.approx(expected, abs=5e-6)


def test_one_scale_is_the_plain_structural_similarity():
    first, second = pairs(4, 1, 16, 16)
    expected = pytorch_msssim.ssim(first.float(), second.float(), data_range=255, size_average=False)
    assert ms_ssim(first, second).numpy() == pytest.approx(expected.numpy(), abs=5e-6)


def test_equal_images_have_1_and_the_order_of_a_pair_does_not_count():
    first, second = pairs(130, 1, 32, 32)
    assert ms_ssim(first, first).numpy() == pytest.approx(np.ones(130), abs=1e-6)
    assert torch.allclose(ms_ssim(first, second), ms_ssim(second, first))
    assert not ms_ssim(first, 255 - first).isnan().any()


def test_scales_are_those_that_hold_a_window():
    assert [scales_of(side) for side in (8, 16, 21, 22, 32, 64, 128, 176, 256)] == [1, 1, 1, 2, 2, 3, 4, 5, 5]
    assert [window_of(side) for side in (1, 2, 8, 9, 11, 64)] == [1, 1, 7, 9, 11, 11]
    for side in (1, 8, 16, 22):
        first, second = pairs(2, 1, side, side)
        assert ms_ssim(first, second).isfinite().all()
