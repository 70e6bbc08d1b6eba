"""A fully connected pair, for comparison: three hidden layers of the same width in each network.

The activations are DCGAN's (ReLU in the generator, leaky ReLU of slope 0.2 in the discriminator), and so is
that the discriminator's first layer has no norm. Norms are over (or by) the units of a layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.models.architectures.base import ARCHITECTURES, NetworkPair
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture

HIDDEN_LAYERS = 3


@register(ARCHITECTURES, "mlp")
class MLP(NetworkPair):
    sizes = (8, 16, 28, 32, 64, 128)
    default_width = 512
    default_norm = "none"
    has_maps = False

    @staticmethod
    def generator_layers(
        architecture: Architecture, inputs: int, channels: int, image_size: int, n_classes: int
    ) -> tuple[nn.Linear, nn.Sequential]:
        from torch import nn

        from gan_core.models.common import norm_layer

        width, norm = architecture.width, architecture.generator_norm
        project = nn.Linear(inputs, width, bias=norm == "none")
        layers: list[nn.Module] = [norm_layer(norm, width, flat=True), nn.ReLU(inplace=True)]
        for _ in range(HIDDEN_LAYERS - 1):
            layers += [
                nn.Linear(width, width, bias=norm == "none"),
                norm_layer(norm, width, flat=True),
                nn.ReLU(inplace=True),
            ]
        image = (channels, image_size, image_size)
        layers += [nn.Linear(width, channels * image_size**2), nn.Unflatten(1, image)]
        return project, nn.Sequential(*layers)

    @staticmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        from torch import nn

        from gan_core.models.common import norm_layer
        from gan_core.models.layers import discriminator_activation

        width, norm = architecture.discriminator_width, architecture.discriminator_norm

        def activation() -> list[nn.Module]:
            return discriminator_activation(architecture, nn.LeakyReLU(0.2, inplace=True))

        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(channels * image_size**2, width), *activation()]
        for _ in range(HIDDEN_LAYERS - 1):
            layers += [
                nn.Linear(width, width, bias=norm == "none"),
                norm_layer(norm, width, flat=True),
                *activation(),
            ]
        return nn.Sequential(*layers), width
