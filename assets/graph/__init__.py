"""The assets, one module each: importing this package declares them all (see `assets.factory`)."""

from gan_core.registry import import_modules

import_modules(__name__, __path__)
