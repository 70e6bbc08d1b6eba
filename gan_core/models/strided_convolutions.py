"""The stacks of 4x4 convolutions with stride 2 that DCGAN and its kin are made of."""

from collections.abc import Callable
from itertools import pairwise

from torch import nn

from gan_core.config import Architecture
from gan_core.models.common import norm_layer
from gan_core.models.layers import discriminator_activation, last_block_input


def doubling_layers(
    architecture: Architecture,
    inputs: int,
    widths: list[int],
    first_side: int,
    activation: Callable[[], nn.Module],
    *,
    pixel_bias: bool = False,
) -> tuple[nn.Linear, list[nn.Module]]:
    """A matrix product to widths[0] maps of `first_side`, and a transposed convolution to each later width.

    Each is followed by the norm and the activation. `pixel_bias`: the product has a bias also before a norm,
    which takes its mean over a map away, but not what is another at each pixel.
    """
    norm = architecture.generator_norm
    # The paper's projection: a transposed convolution of one pixel is this matrix product, but slower.
    project = nn.Linear(inputs, widths[0] * first_side**2, bias=pixel_bias or norm == "none")
    layers: list[nn.Module] = [
        nn.Unflatten(1, (widths[0], first_side, first_side)),
        norm_layer(norm, widths[0]),
        activation(),
    ]
    for before, after in pairwise(widths):
        layers += [
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=norm == "none"),
            norm_layer(norm, after),
            activation(),
        ]
    return project, layers


def halving_layers(architecture: Architecture, channels: int, widths: list[int]) -> nn.Sequential:
    """A convolution with stride 2 to each of `widths`; as in the paper, the first has no norm. Then flat."""

    def activation() -> list[nn.Module]:
        return discriminator_activation(architecture, nn.LeakyReLU(0.2, inplace=True))

    norm = architecture.discriminator_norm
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), *activation()]
    for index, (before, after) in enumerate(pairwise(widths), start=1):
        if index == len(widths) - 1:
            extra, before = last_block_input(architecture, before)
            layers += extra
        layers += [
            nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"),
            norm_layer(norm, after),
            *activation(),
        ]
    return nn.Sequential(*layers, nn.Flatten())
