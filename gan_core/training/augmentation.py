"""How D sees images: mirrored, differentiably augmented, with instance noise."""

import torch
from torch import Tensor

from gan_core.config import Experiment
from gan_core.devices import image_memory_format
from gan_core.images import to_network_range
from gan_core.objectives import AUGMENTATIONS
from gan_core.training.noise import Noise


def real_batch(images: Tensor, experiment: Experiment, noise: Noise) -> Tensor:
    """uint8 (B, C, H, W) -> float in the experiment's range, in the layout of its device.

    With `horizontal_flips` each image is mirrored with probability 1/2.
    """
    real = to_network_range(images, experiment.output.image_range)
    real = real.contiguous(memory_format=image_memory_format(real.device))
    if experiment.horizontal_flips:
        mirrored = noise.uniform(len(real), 1, 1, 1) < 0.5
        real = torch.where(mirrored, real.flip(3), real)
    return real


def as_seen(
    images: Tensor,
    experiment: Experiment,
    noise: Noise,
    noise_level: Tensor,
    probability: Tensor | None = None,
) -> Tensor:
    """Images (B, C, H, W) as D gets them, differentiable. Real and generated ones go the same way.

    `noise_level` is a scalar: the share of `objective.instance_noise` that is left at this moment.
    `probability`, a scalar too, is that by which each augmentation is applied to each image; None: always.
    """
    objective = experiment.objective
    low, high = experiment.output.image_range
    for name in objective.differentiable_augmentation:
        augmented = AUGMENTATIONS[name](images, noise, (high - low) / 2)
        if probability is not None:
            applied = noise.uniform(len(images), 1, 1, 1) < probability
            augmented = torch.where(applied, augmented, images)
        images = augmented.contiguous(memory_format=image_memory_format(images.device))
    if objective.instance_noise:
        images = images + objective.instance_noise * noise_level * noise.normal(*images.shape)
    return images
