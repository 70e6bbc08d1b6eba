"""DCGAN for 16 to 256 pixels (Radford et al. 2016).

Both networks double or halve the side between 4 pixels and the image's, with 4x4 kernels and stride 2, as
the authors' code and PyTorch's example do at 64. The number of filters doubles with every layer away from
the image, up to 16 times `width`, which only 256 pixels exceed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture

FIRST_SIDE = 4
WIDEST = 16


@register(ARCHITECTURES, "dcgan")
class DCGAN(NetworkPair):
    sizes = (16, 32, 64, 128, 256)
    default_width = 64

    @staticmethod
    def generator_layers(
        architecture: Architecture, inputs: int, channels: int, image_size: int, n_classes: int
    ) -> tuple[nn.Linear, nn.Sequential]:
        from torch import nn

        from gan_core.models.strided_convolutions import doubling_layers

        widths = filters(architecture.width, image_size)[::-1]
        project, layers = doubling_layers(
            architecture, inputs, widths, FIRST_SIDE, lambda: nn.ReLU(inplace=True)
        )
        return project, nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1))

    @staticmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        from gan_core.models.strided_convolutions import halving_layers

        widths = filters(architecture.discriminator_width, image_size)
        return halving_layers(architecture, channels, widths), widths[-1] * FIRST_SIDE**2


def filters(width: int, image_size: int) -> list[int]:
    """Filters after each layer that halves, from the image down to 4 pixels."""
    return [width * min(2**layer, WIDEST) for layer in range(int(math.log2(image_size // FIRST_SIDE)))]
