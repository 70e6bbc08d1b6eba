"""The classroom network, for 64 pixels: a dense layer, then DCGAN's transposed convolutions.

Generator: a dense layer to 8x8 with 8 * `width` maps (16,384 units at width 32), then transposed convolutions
with 4, 2 and 1 times `width` filters (128, 64, 32) that double the side, each with norm and leaky ReLU, and a
convolution to the image. Discriminator: 1, 4 and 8 times its width in filters (32, 128, 256) that halve the
side to 8, flat, one output. What the coursework leaves open is DCGAN's: kernels of 4x4 with stride 2 (3x3
with stride 1 for the last one of the generator), slope 0.2, batch norm by map, none on D's first layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture

FIRST_SIDE = 8
GENERATOR_WIDTHS = (8, 4, 2, 1)
DISCRIMINATOR_WIDTHS = (1, 4, 8)


@register(ARCHITECTURES, "dense_dcgan")
class DenseDCGAN(NetworkPair):
    sizes = (64,)
    default_width = 32

    @staticmethod
    def generator_layers(
        architecture: Architecture, inputs: int, channels: int, image_size: int, n_classes: int
    ) -> tuple[nn.Linear, nn.Sequential]:
        from torch import nn

        from gan_core.models.strided_convolutions import doubling_layers

        widths = [architecture.width * factor for factor in GENERATOR_WIDTHS]
        project, layers = doubling_layers(
            architecture, inputs, widths, FIRST_SIDE, lambda: nn.LeakyReLU(0.2, inplace=True)
        )
        return project, nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, 1, 1))

    @staticmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        from gan_core.models.strided_convolutions import halving_layers

        widths = [architecture.discriminator_width * factor for factor in DISCRIMINATOR_WIDTHS]
        return halving_layers(architecture, channels, widths), widths[-1] * FIRST_SIDE**2
