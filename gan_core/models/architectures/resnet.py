"""Residual networks of WGAN-GP (Gulrajani et al. 2017, appendix) and SNGAN (Miyato et al. 2018, appendix B).

Every block has its norm and its ReLU before each of two 3x3 convolutions. The generator doubles the side from
4 pixels with nearest neighbours; the discriminator halves it by average pooling, its first block without a
norm or an activation on the image ("optimised first block").

- 32 pixels: every block has `width` filters, as both papers do on CIFAR-10 (WGAN-GP: 128 in both networks;
  SNGAN: 256 in G, 128 in D). D's blocks: two that halve, two that do not.
- 64 and 128 pixels: `width` filters next to the image, doubling with each block away from it, as in WGAN-GP's
  generator for LSUN at 64 (64 to 512) and in both of SNGAN's networks for ImageNet at 128 (64 to 1024). D
  follows SNGAN's at 128 (a block that halves for each width, then one that does not), at 64 with one less.

D's last map is pooled to one number a filter: by the sum where there is spectral norm, as in SNGAN, whose
layers cannot scale it up again, and else by the mean, as in WGAN-GP. With the initialisation `xavier`, the
3x3 convolutions of the blocks have sqrt(2) times Glorot's scale, as in the code of both papers.

With the norm `conditional_batch` the class enters the generator through every norm but the last one, as in
the code of Miyato and Koyama 2018, and not beside the latent.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture

FIRST_SIDE = 4
HALVING_BLOCKS_AT_32 = 2


@register(ARCHITECTURES, "resnet")
class ResNet(NetworkPair):
    sizes = (32, 64, 128)
    default_width = 128
    generator_norms = ("batch", "layer", "none", "conditional_batch")

    @staticmethod
    def generator_layers(
        architecture: Architecture, inputs: int, channels: int, image_size: int, n_classes: int
    ) -> tuple[nn.Linear, nn.Sequential]:
        from torch import nn

        from gan_core.models.common import norm_layer
        from gan_core.models.conditional_norm import ClassSequential
        from gan_core.models.residual_blocks import doubling_block

        widths = filters(architecture.width, image_size)[::-1]
        norm = architecture.generator_norm
        conditional = norm == "conditional_batch"
        project = nn.Linear(inputs, widths[0] * FIRST_SIDE**2)
        blocks = [
            doubling_block(before, after, norm, n_classes) for before, after in pairwise([widths[0], *widths])
        ]
        return project, (ClassSequential if conditional else nn.Sequential)(
            nn.Unflatten(1, (widths[0], FIRST_SIDE, FIRST_SIDE)),
            *blocks,
            norm_layer("batch" if conditional else norm, widths[-1]),
            nn.ReLU(),
            nn.Conv2d(widths[-1], channels, 3, 1, 1),
        )

    @staticmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        from torch import nn

        from gan_core.models.layers import discriminator_activation, last_block_input
        from gan_core.models.residual_blocks import GlobalPooling, discriminator_block, image_block

        widths = filters(architecture.discriminator_width, image_size)
        halving = HALVING_BLOCKS_AT_32 if image_size == 32 else len(widths)
        widths = [*widths, widths[-1]]  # the last block does not halve
        layers: list[nn.Module] = [image_block(architecture, channels, widths[0])]
        for index, (before, after) in enumerate(pairwise(widths), start=1):
            if index == len(widths) - 1:
                extra, before = last_block_input(architecture, before)
                layers += extra
            layers.append(discriminator_block(architecture, before, after, halves=index < halving))
        pooling = GlobalPooling("sum" if architecture.spectral_norm else "mean")
        last = discriminator_activation(architecture, nn.ReLU())
        return nn.Sequential(*layers, *last, pooling), widths[-1]


def filters(width: int, image_size: int) -> list[int]:
    """Filters of the blocks that resample, from the image down to 4 pixels."""
    count = int(math.log2(image_size // FIRST_SIDE))
    return [width if image_size == 32 else width * 2**block for block in range(count)]
