"""What a differentiable augmentation is (Zhao et al. 2020, DiffAugment)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.training.noise import Noise

# Images float (B, C, H, W), the run's random numbers, and half the width of the images' range (the paper's
# formulae are for [-1, 1]) -> the images as D sees them, differentiable.
Augmentation = Callable[["Tensor", "Noise", float], "Tensor"]

AUGMENTATIONS: dict[str, Augmentation] = {}
