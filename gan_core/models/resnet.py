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
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from gan_core.config import Architecture
from gan_core.models.common import norm_layer
from gan_core.models.layers import discriminator_activation, last_block_input

FIRST_SIDE = 4
HALVING_BLOCKS_AT_32 = 2


class ResidualBlock(nn.Module):
    """x -> shortcut(x) + branch(x). No layer of either may change x in place."""

    def __init__(self, branch: list[nn.Module], shortcut: list[nn.Module]):
        super().__init__()
        self.branch, self.shortcut = nn.Sequential(*branch), nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


class GlobalPooling(nn.Module):
    """(B, C, H, W) -> (B, C): the sum or the mean over the pixels."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3)) if self.kind == "sum" else x.mean((2, 3))


def filters(width: int, image_size: int) -> list[int]:
    """Filters of the blocks that resample, from the image down to 4 pixels."""
    count = int(math.log2(image_size // FIRST_SIDE))
    return [width if image_size == 32 else width * 2**block for block in range(count)]


def generator_layers(
    architecture: Architecture, inputs: int, channels: int, image_size: int
) -> tuple[nn.Linear, nn.Sequential]:
    widths = filters(architecture.width, image_size)[::-1]
    norm = architecture.generator_norm
    project = nn.Linear(inputs, widths[0] * FIRST_SIDE**2)
    blocks = [_doubling_block(before, after, norm) for before, after in pairwise([widths[0], *widths])]
    return project, nn.Sequential(
        nn.Unflatten(1, (widths[0], FIRST_SIDE, FIRST_SIDE)),
        *blocks,
        norm_layer(norm, widths[-1]),
        nn.ReLU(),
        nn.Conv2d(widths[-1], channels, 3, 1, 1),
    )


def discriminator_layers(
    architecture: Architecture, channels: int, image_size: int
) -> tuple[nn.Sequential, int]:
    widths = filters(architecture.discriminator_width, image_size)
    halving = HALVING_BLOCKS_AT_32 if image_size == 32 else len(widths)
    widths = [*widths, widths[-1]]  # the last block does not halve
    layers: list[nn.Module] = [_image_block(architecture, channels, widths[0])]
    for index, (before, after) in enumerate(pairwise(widths), start=1):
        if index == len(widths) - 1:
            extra, before = last_block_input(architecture, before)
            layers += extra
        layers.append(_discriminator_block(architecture, before, after, halves=index < halving))
    pooling = GlobalPooling("sum" if architecture.spectral_norm else "mean")
    return nn.Sequential(*layers, *discriminator_activation(architecture, nn.ReLU()), pooling), widths[-1]


def _doubling_block(before: int, after: int, norm: str) -> ResidualBlock:
    """(B, before, S, S) -> (B, after, 2S, 2S). The shortcut's 1x1 convolution commutes with doubling.

    Batch norm, after the last block at the latest, takes away whatever a bias adds.
    """
    bias = norm != "batch"
    return ResidualBlock(
        branch=[
            norm_layer(norm, before),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _convolution(before, after, bias=bias),
            norm_layer(norm, after),
            nn.ReLU(),
            _convolution(after, after, bias=bias),
        ],
        shortcut=[nn.Conv2d(before, after, 1, bias=bias), nn.Upsample(scale_factor=2)],
    )


def _image_block(architecture: Architecture, channels: int, after: int) -> ResidualBlock:
    """Images (B, channels, S, S) -> (B, after, S / 2, S / 2)."""
    return ResidualBlock(
        branch=[
            _convolution(channels, after),
            *discriminator_activation(architecture, nn.ReLU()),
            _convolution(after, after),
            nn.AvgPool2d(2),
        ],
        shortcut=[nn.AvgPool2d(2), nn.Conv2d(channels, after, 1)],
    )


def _discriminator_block(
    architecture: Architecture, before: int, after: int, *, halves: bool
) -> ResidualBlock:
    """(B, before, S, S) -> (B, after, S / 2, S / 2), or the same side without `halves`.

    The shortcut's 1x1 convolution commutes with pooling.
    """
    norm = architecture.discriminator_norm
    hidden = min(before, after)  # `before`, but for the extra map of `MinibatchStddev`
    branch = [
        norm_layer(norm, before),
        *discriminator_activation(architecture, nn.ReLU()),
        _convolution(before, hidden, bias=norm == "none"),
        norm_layer(norm, hidden),
        *discriminator_activation(architecture, nn.ReLU()),
        _convolution(hidden, after),
    ]
    pooling = [nn.AvgPool2d(2)] if halves else []
    learned = halves or before != after
    shortcut = [*pooling, nn.Conv2d(before, after, 1)] if learned else [nn.Identity()]
    return ResidualBlock([*branch, *pooling], shortcut)


def _convolution(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    convolution = nn.Conv2d(before, after, 3, 1, 1, bias=bias)
    convolution.xavier_gain = math.sqrt(2)
    return convolution
