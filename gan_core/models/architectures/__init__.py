"""Architectures, one file each: a subclass of `NetworkPair`, registered in `ARCHITECTURES`."""

from gan_core.errors import ConfigError
from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import import_modules

__all__ = ["ARCHITECTURES", "NetworkPair", "check_image_size"]

import_modules(__name__, __path__)


def check_image_size(architecture: str, image_size: int) -> None:
    """Raise `ConfigError` unless the architecture has this size."""
    sizes = ARCHITECTURES[architecture].sizes
    if image_size not in sizes:
        raise ConfigError(
            f"architecture `{architecture}` makes images of {', '.join(map(str, sizes))} pixels, not of "
            f"{image_size}: change the dataset's image_size or the architecture"
        )
