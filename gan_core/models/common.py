"""What all architectures share: the discriminator's output, latents, initial weights, norms."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_core.config import Latent


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of B images.

    `score` (B,): unbounded, higher is more real. `class_logits` (B, n_classes), before any softmax, or None.
    `features` (B, F): the last hidden layer, flat, each row of its own image alone.
    """

    score: Tensor
    class_logits: Tensor | None
    features: Tensor


def draw_latents(latent: Latent, count: int, generator: torch.Generator) -> Tensor:
    """Float (count, latent.size) from N(0, 1) or U(-1, 1), on the device of `generator`."""
    shape = (count, latent.size)
    if latent.distribution == "normal":
        return torch.randn(shape, generator=generator, device=generator.device)
    return torch.rand(shape, generator=generator, device=generator.device) * 2 - 1


def one_hot(labels: Tensor, n_classes: int, dtype: torch.dtype) -> Tensor:
    """int64 (B,) -> (B, n_classes). functional.one_hot checks the labels on the host, and so waits."""
    return (labels[:, None] == torch.arange(n_classes, device=labels.device)).to(dtype)


def initialize(network: nn.Module, name: str) -> None:
    """Set the weights of all layers from torch's global random state, in the order of `network.apply`.

    `normal`: N(0, 0.02), and N(1, 0.02) for the scale of batch norm (Radford et al. 2016, section 4, and the
    authors' code). `orthogonal`: Saxe et al. 2014, on the weight as a matrix of (outputs, all others).
    `xavier`: uniform (Glorot and Bengio 2010), times the layer's `xavier_gain` where it has one.
    Biases are 0.
    """
    network.apply(lambda module: _initialize_layer(module, name))


def _initialize_layer(module: nn.Module, name: str) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        if name == "normal":
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif name == "orthogonal":
            nn.init.orthogonal_(module.weight)
        else:
            nn.init.xavier_uniform_(module.weight, getattr(module, "xavier_gain", 1.0))
    elif isinstance(module, _BatchNorm) and module.affine and name == "normal":
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)


def norm_layer(name: str, channels: int, *, flat: bool = False) -> nn.Module:
    """`batch`, `layer` (over channels and pixels, as in WGAN-GP: a group norm of one group) or `none`.

    `flat`: for activations (B, channels) instead of (B, channels, H, W).
    """
    if name == "batch":
        return nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)
    return nn.GroupNorm(1, channels) if name == "layer" else nn.Identity()
