"""Metrics of classes: whether a generator makes each, and makes the one that it was asked for."""

from gan_core.registry import import_modules

import_modules(__name__, __path__)
