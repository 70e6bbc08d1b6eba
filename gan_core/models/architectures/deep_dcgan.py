"""DCGAN with four layers that resample also at 32 pixels: pytorch-gan-collections' DCGAN for CIFAR-10.

Generator: the one of Radford et al. 2016, figure 1, with 16 to 2 times `width` filters (1024 to 128), which
begins at a sixteenth of the image's side: 4 pixels for 64, and so 2 for 32. Discriminator: four 5x5
convolutions with stride 2 to 1, 2, 4 and 8 times `width` filters. As there, no convolution has a bias, and
D's norm stands behind its leaky ReLU (slope 0.2), not before it as in the paper; none on the first layer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture

GENERATOR_WIDTHS = (16, 8, 4, 2)
DISCRIMINATOR_WIDTHS = (1, 2, 4, 8)
SHRINKS_BY = 16


@register(ARCHITECTURES, "deep_dcgan")
class DeepDCGAN(NetworkPair):
    sizes = (32, 64, 128)
    default_width = 64

    @staticmethod
    def generator_layers(
        architecture: Architecture, inputs: int, channels: int, image_size: int, n_classes: int
    ) -> tuple[nn.Linear, nn.Sequential]:
        from torch import nn

        from gan_core.models.strided_convolutions import doubling_layers

        widths = [architecture.width * factor for factor in GENERATOR_WIDTHS]
        project, layers = doubling_layers(
            architecture, inputs, widths, image_size // SHRINKS_BY, lambda: nn.ReLU(inplace=True)
        )
        return project, nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False))

    @staticmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        from torch import nn

        from gan_core.models.common import norm_layer
        from gan_core.models.layers import discriminator_activation, last_block_input

        widths = [architecture.discriminator_width * factor for factor in DISCRIMINATOR_WIDTHS]
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise([channels, *widths])):
            if index == len(widths) - 1:
                extra, before = last_block_input(architecture, before)
                layers += extra
            layers += [
                nn.Conv2d(before, after, 5, 2, 2, bias=False),
                *discriminator_activation(architecture, nn.LeakyReLU(0.2, inplace=True)),
            ]
            if index:
                layers.append(norm_layer(architecture.discriminator_norm, after))
        return nn.Sequential(*layers, nn.Flatten()), widths[-1] * (image_size // SHRINKS_BY) ** 2
