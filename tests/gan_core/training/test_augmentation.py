"""How D sees images: each augmentation against plain numpy, with the same random numbers for the formula."""

import numpy as np
import pytest
import torch

from gan_core.objectives import AUGMENTATIONS
from gan_core.objectives.augmentations.color import color
from gan_core.objectives.augmentations.cutout import cutout
from gan_core.objectives.augmentations.translation import translation
from gan_core.training.augmentation import as_seen, real_batch
from gan_core.training.noise import Noise
from gan_core.training.processes.ranks import Ranks


@pytest.fixture
def noise():
    return Noise(0, torch.device("cpu"), Ranks())


def test_color_closed_form(noise):
    images = torch.rand(6, 3, 8, 8) * 2 - 1
    seen = color(images, noise, 1.0)
    same = Noise(0, torch.device("cpu"), Ranks())
    brightness, saturation, contrast = (same.uniform(6, 1, 1, 1).numpy() for _ in range(3))
    expected = images.numpy() + brightness - 0.5
    grey = expected.mean(axis=1, keepdims=True)
    expected = (expected - grey) * 2 * saturation + grey
    mean = expected.mean(axis=(1, 2, 3), keepdims=True)
    expected = (expected - mean) * (contrast + 0.5) + mean
    np.testing.assert_allclose(seen.numpy(), expected, rtol=1e-5, atol=1e-5)


def by_indices(images, down, right):
    """As DiffAugment's authors write it: indices of three axes."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (width // 8, width // 8, height // 8, height // 8))
    rows = torch.arange(height).view(1, -1, 1) + down
    columns = torch.arange(width).view(1, 1, -1) + right
    image = torch.arange(count).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[image, rows, columns].permute(0, 3, 1, 2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_translation_and_its_gradients_are_those_of_indices_bit_for_bit(noise, layout):
    images = torch.randn(5, 3, 16, 24).contiguous(memory_format=layout)
    same = Noise(0, torch.device("cpu"), Ranks())
    shifts = same.integers(5, 5, 1, 1), same.integers(7, 5, 1, 1)
    found = []
    for shifted in (lambda x: translation(x, noise, 1.0), lambda x: by_indices(x, *shifts)):
        given = images.clone().requires_grad_()
        seen = shifted(given)
        (first,) = torch.autograd.grad(seen.pow(3).sum(), given, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), given)
        found.append((seen, first, second))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()  # which kernels come next goes by it


def test_translation_shifts_whole_images_by_an_eighth_at_most(noise):
    images = torch.rand(64, 2, 16, 16) + 1
    seen = translation(images, noise, 1.0)
    shifts = set()
    for before, after in zip(images.numpy(), seen.numpy(), strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2)))
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if np.array_equal(after, padded[:, down : down + 16, right : right + 16])
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(5))


def test_cutout_clears_one_square_of_half_the_side(noise):
    seen = cutout(torch.ones(200, 3, 16, 16), noise, 1.0).numpy()
    sizes = set()
    for image in seen:
        assert (image == image[0]).all()
        rows, columns = np.nonzero(image[0] == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width  # one full rectangle
        assert height <= 8
        assert width <= 8
        sizes.add((height, width))
    assert (8, 8) in sizes
    assert len(sizes) > 4  # near the edge a part of it


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_are_differentiable(name, noise):
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    AUGMENTATIONS[name](images, noise, 1.0).square().sum().backward()
    assert images.grad.abs().sum() > 0
    assert images.grad.isfinite().all()


def test_instance_noise_has_the_configured_deviation(make_experiment, noise):
    experiment = make_experiment(objective={"instance_noise": 0.2})
    seen = as_seen(torch.zeros(100, 1, 16, 16), experiment, noise, torch.tensor(0.5))
    assert seen.std().item() == pytest.approx(0.1, rel=0.02)
    assert torch.equal(as_seen(seen, experiment, noise, torch.tensor(0.0)), seen)


def test_nothing_is_done_by_default(make_experiment, noise):
    images = torch.rand(4, 1, 16, 16)
    assert as_seen(images, make_experiment(), noise, torch.tensor(1.0)) is images


@pytest.mark.parametrize(
    ("activation", "low", "high"), [("tanh", -1, 1), ("sigmoid", 0, 1)], ids=["tanh", "sigmoid"]
)
def test_real_images_have_the_range_of_the_output(make_experiment, noise, activation, low, high):
    experiment = make_experiment(output={"activation": activation})
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    expected = low + (high - low) * torch.tensor([0, 0.2, 1.0])
    torch.testing.assert_close(real_batch(images, experiment, noise).flatten(), expected)


def test_flips_mirror_whole_images_about_half_of_the_time(make_experiment, noise):
    images = torch.randint(0, 256, (400, 1, 4, 4), dtype=torch.uint8)
    plain = real_batch(images, make_experiment(), noise)
    flipped = real_batch(images, make_experiment(horizontal_flips=True), noise)
    torch.testing.assert_close(plain, images / 127.5 - 1)
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, plain, strict=True)]
    unchanged = [torch.equal(a, b) for a, b in zip(flipped, plain, strict=True)]
    assert all(m or u for m, u in zip(mirrored, unchanged, strict=True))
    assert 150 < sum(mirrored) < 250
