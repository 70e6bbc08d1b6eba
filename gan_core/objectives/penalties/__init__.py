"""Penalties on D, one file each: a subclass of `Penalty`, registered in `PENALTIES` by its weight's key."""

from gan_core.objectives.penalties.base import PENALTIES, Judged, Penalty
from gan_core.registry import import_modules

__all__ = ["PENALTIES", "Judged", "Penalty"]

import_modules(__name__, __path__)
