"""What all architectures share: the discriminator's output, latents, initial weights, norms."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_core.config import ARCHITECTURE_SIZES, Latent
from gan_core.errors import ConfigError


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of B images.

    `score` (B,): unbounded, higher is more real. `class_logits` (B, n_classes), before any softmax, or None.
    `features` (B, F): the last hidden layer, flat.
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


def initialize_normal(module: nn.Module) -> None:
    """DCGAN's initial weights (Radford et al. 2016, section 4): N(0, 0.02), no bias, norms at identity.

    For `Module.apply`. The scale of batch norm is N(1, 0.02), as in the authors' code.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)


def norm_layer(name: str, channels: int) -> nn.Module:
    """`batch`, `layer` (over channels and pixels, as in WGAN-GP: a group norm of one group) or `none`."""
    layers = {"batch": nn.BatchNorm2d, "layer": lambda n: nn.GroupNorm(1, n), "none": lambda _: nn.Identity()}
    return layers[name](channels)


def check_image_size(architecture: str, image_size: int) -> None:
    """Raise `ConfigError` unless the architecture has this size."""
    sizes = ARCHITECTURE_SIZES[architecture]
    if image_size not in sizes:
        raise ConfigError(
            f"architecture `{architecture}` makes images of {', '.join(map(str, sizes))} pixels, not of "
            f"{image_size}: change the dataset's image_size or the architecture"
        )
