"""The residual blocks of the `resnet` architecture. Its module says where they come from."""

import math

from torch import Tensor, nn

from gan_core.config import Architecture
from gan_core.models.common import norm_layer
from gan_core.models.conditional_norm import ClassSequential, ConditionalBatchNorm2d
from gan_core.models.layers import at_least_float32, discriminator_activation


class ResidualBlock(nn.Module):
    """x -> shortcut(x) + branch(x). No layer of either may change x in place."""

    def __init__(self, branch: list[nn.Module], shortcut: list[nn.Module]):
        super().__init__()
        self.branch, self.shortcut = nn.Sequential(*branch), nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


class GlobalPooling(nn.Module):
    """(B, C, H, W) -> (B, C): the sum or the mean over the pixels, in 32 bits at least."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        x = at_least_float32(x)
        return x.sum((2, 3)) if self.kind == "sum" else x.mean((2, 3))


class ClassResidualBlock(nn.Module):
    """x, classes (B, n_classes) -> shortcut(x) + branch(x, classes)."""

    def __init__(self, branch: list[nn.Module], shortcut: list[nn.Module]):
        super().__init__()
        self.branch, self.shortcut = ClassSequential(*branch), nn.Sequential(*shortcut)

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x, classes)


def doubling_block(before: int, after: int, norm: str, n_classes: int) -> nn.Module:
    """(B, before, S, S) -> (B, after, 2S, 2S). The shortcut's 1x1 convolution commutes with doubling.

    Batch norm, after the last block at the latest, takes away whatever a bias adds. With the norm
    `conditional_batch` a block gets the classes, too.
    """
    conditional = norm == "conditional_batch"
    bias = norm not in ("batch", "conditional_batch")

    def norm_of(channels: int) -> nn.Module:
        return ConditionalBatchNorm2d(channels, n_classes) if conditional else norm_layer(norm, channels)

    return (ClassResidualBlock if conditional else ResidualBlock)(
        branch=[
            norm_of(before),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _convolution(before, after, bias=bias),
            norm_of(after),
            nn.ReLU(),
            _convolution(after, after, bias=bias),
        ],
        shortcut=[nn.Conv2d(before, after, 1, bias=bias), nn.Upsample(scale_factor=2)],
    )


def image_block(architecture: Architecture, channels: int, after: int) -> ResidualBlock:
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


def discriminator_block(
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
