"""Random shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.augmentations.base import AUGMENTATIONS
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.training.noise import Noise

TRANSLATION = 0.125  # furthest shift, as a share of the image's side


@register(AUGMENTATIONS, "translation")
def translation(images: Tensor, noise: Noise, scale: float) -> Tensor:
    """Each image shifted by up to an eighth of its side in both directions, zeros coming in."""
    import torch
    from torch.nn import functional

    count, _, height, width = images.shape
    down, right = int(height * TRANSLATION + 0.5), int(width * TRANSLATION + 0.5)
    shift_down = noise.integers(2 * down + 1, count, 1, 1)
    shift_right = noise.integers(2 * right + 1, count, 1, 1)
    padded = functional.pad(images, (right, right, down, down)).permute(0, 2, 3, 1)
    rows = torch.arange(height, device=images.device).view(1, -1, 1, 1) + shift_down.unsqueeze(3)
    columns = torch.arange(width, device=images.device).view(1, 1, -1, 1) + shift_right.unsqueeze(3)
    # Not by indices of three axes, whose gradient sorts them on a GPU.
    channels = padded.shape[3]
    shifted = padded.gather(1, rows.expand(count, height, padded.shape[2], channels))
    return shifted.gather(2, columns.expand(count, height, width, channels)).permute(0, 3, 1, 2)
