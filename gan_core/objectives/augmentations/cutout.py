"""A square of each image left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.augmentations.base import AUGMENTATIONS
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.training.noise import Noise

CUTOUT = 0.5  # side of the cut square, as a share of the image's


@register(AUGMENTATIONS, "cutout")
def cutout(images: Tensor, noise: Noise, scale: float) -> Tensor:
    """A square of half the side is set to zero in each image, its centre anywhere in the image."""
    import torch

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
