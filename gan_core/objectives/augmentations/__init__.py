"""Differentiable augmentations, one file each: a function registered in `AUGMENTATIONS`."""

from gan_core.objectives.augmentations.base import AUGMENTATIONS
from gan_core.registry import import_modules

__all__ = ["AUGMENTATIONS"]

import_modules(__name__, __path__)
