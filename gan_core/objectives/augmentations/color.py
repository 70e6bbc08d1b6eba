"""Random brightness, saturation and contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.augmentations.base import AUGMENTATIONS
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.training.noise import Noise


@register(AUGMENTATIONS, "color")
def color(images: Tensor, noise: Noise, scale: float) -> Tensor:
    """Brightness, then saturation, then contrast, each drawn for each image (Zhao et al. 2020)."""
    count = len(images)
    images = images + (noise.uniform(count, 1, 1, 1) - 0.5) * scale
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (noise.uniform(count, 1, 1, 1) * 2) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (noise.uniform(count, 1, 1, 1) + 0.5) + mean
