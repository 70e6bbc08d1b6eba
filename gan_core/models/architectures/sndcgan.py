"""SNGAN's convolutional networks (Miyato et al. 2018, appendix B, table 3), at 32 pixels those for CIFAR-10.

Generator: a dense layer to an eighth of the side with 8 * `width` maps, three 4x4 transposed convolutions
that double the side (to 4, 2 and 1 times `width` filters), each of these four with norm and ReLU, and a 3x3
convolution to the image. Discriminator: 3x3 convolutions that keep the side and 4x4 ones that halve it, in
turn, with leaky ReLUs of slope 0.1 and one output on the flat last map; a norm, which SNGAN's has not, stands
behind every convolution but the first.

The paper's table and Preferred Networks' code differ in the discriminator's filters: 64, 64, 128, 128, 256,
256, 512 in the table, and 64, 128, 128, 256, 256, 512, 512 in the code (`SNDCGANDiscriminator` of
chainer-gan-lib). The code's are built here, as in pytorch-gan-collections (its `cnn32` for WGAN, WGAN-GP and
SNGAN) and by Kurach et al. 2019, whose dense layer's side follows the image's as well.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture

GENERATOR_WIDTHS = (8, 4, 2, 1)
DISCRIMINATOR_WIDTHS = (1, 2, 2, 4, 4, 8, 8)
SHRINKS_BY = 8
SLOPE = 0.1


@register(ARCHITECTURES, "sndcgan")
class SNDCGAN(NetworkPair):
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
            architecture,
            inputs,
            widths,
            image_size // SHRINKS_BY,
            lambda: nn.ReLU(inplace=True),
            pixel_bias=True,
        )
        return project, nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, 1, 1))

    @staticmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        from torch import nn

        from gan_core.models.common import norm_layer
        from gan_core.models.layers import discriminator_activation, last_block_input

        def activation() -> list[nn.Module]:
            return discriminator_activation(architecture, nn.LeakyReLU(SLOPE, inplace=True))

        norm = architecture.discriminator_norm
        widths = [architecture.discriminator_width * factor for factor in DISCRIMINATOR_WIDTHS]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, 1, 1), *activation()]
        for index, (before, after) in enumerate(pairwise(widths), start=1):
            if index == len(widths) - 1:
                extra, before = last_block_input(architecture, before)
                layers += extra
            kernel, stride = (4, 2) if index % 2 else (3, 1)
            layers += [
                nn.Conv2d(before, after, kernel, stride, 1, bias=norm == "none"),
                norm_layer(norm, after),
                *activation(),
            ]
        return nn.Sequential(*layers, nn.Flatten()), widths[-1] * (image_size // SHRINKS_BY) ** 2
