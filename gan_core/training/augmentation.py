"""How D sees images: mirrored, differentiably augmented, with instance noise."""

import torch
from torch import Tensor
from torch.nn import functional

from gan_core.config import Experiment
from gan_core.images import to_network_range
from gan_core.training.noise import Noise

CUTOUT = 0.5  # side of the cut square, as a share of the image's
TRANSLATION = 0.125  # furthest shift, as a share of the image's side


def real_batch(images: Tensor, experiment: Experiment, noise: Noise) -> Tensor:
    """uint8 (B, C, H, W) -> float in the experiment's range, channels last.

    With `horizontal_flips` each image is mirrored with probability 1/2.
    """
    real = to_network_range(images, experiment.output.image_range)
    real = real.contiguous(memory_format=torch.channels_last)
    if experiment.horizontal_flips:
        mirrored = noise.uniform(len(real), 1, 1, 1) < 0.5
        real = torch.where(mirrored, real.flip(3), real)
    return real


def as_seen(images: Tensor, experiment: Experiment, noise: Noise, noise_level: Tensor) -> Tensor:
    """Images (B, C, H, W) as D gets them, differentiable. Real and generated ones go the same way.

    `noise_level` is a scalar: the share of `objective.instance_noise` that is left at this moment.
    """
    objective = experiment.objective
    low, high = experiment.output.image_range
    for name in objective.differentiable_augmentation:
        images = AUGMENTATIONS[name](images, noise, (high - low) / 2)
    if objective.instance_noise:
        images = images + objective.instance_noise * noise_level * noise.normal(*images.shape)
    return images


def color(images: Tensor, noise: Noise, scale: float) -> Tensor:
    """Brightness, then saturation, then contrast, each drawn for each image (Zhao et al. 2020, DiffAugment).

    `scale` is half the width of the images' range: their formulae are for [-1, 1].
    """
    count = len(images)
    images = images + (noise.uniform(count, 1, 1, 1) - 0.5) * scale
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (noise.uniform(count, 1, 1, 1) * 2) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (noise.uniform(count, 1, 1, 1) + 0.5) + mean


def translation(images: Tensor, noise: Noise, scale: float) -> Tensor:
    """Each image shifted by up to an eighth of its side in both directions, zeros coming in."""
    count, _, height, width = images.shape
    down, right = int(height * TRANSLATION + 0.5), int(width * TRANSLATION + 0.5)
    shift_down = noise.integers(2 * down + 1, count, 1, 1)
    shift_right = noise.integers(2 * right + 1, count, 1, 1)
    padded = functional.pad(images, (right, right, down, down)).permute(0, 2, 3, 1)
    rows = torch.arange(height, device=images.device).view(1, -1, 1) + shift_down
    columns = torch.arange(width, device=images.device).view(1, 1, -1) + shift_right
    image = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded[image, rows, columns].permute(0, 3, 1, 2)


def cutout(images: Tensor, noise: Noise, scale: float) -> Tensor:
    """A square of half the side is set to zero in each image, its centre anywhere in the image."""
    count, _, height, width = images.shape
    kept = None
    for side, axis in ((height, 2), (width, 3)):
        length = int(side * CUTOUT + 0.5)
        first = noise.integers(side + (1 - length % 2), count, 1) - length // 2
        places = torch.arange(side, device=images.device)
        outside = (places < first) | (places >= first + length)
        outside = outside.view(count, 1, side, 1) if axis == 2 else outside.view(count, 1, 1, side)
        kept = outside if kept is None else kept | outside
    return images * kept


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}
