"""Metrics of diversity: how much generated images differ from each other, beside how much real ones do."""

from gan_core.registry import import_modules

import_modules(__name__, __path__)
