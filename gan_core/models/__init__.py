"""Networks: generators and discriminators by the name of their architecture.

A new architecture is one file with a generator and a discriminator class, and one entry in `ARCHITECTURES`
(its image sizes stand in `gan_core.config.ARCHITECTURE_SIZES`, which definitions read without torch).
"""

from dataclasses import dataclass

from torch import nn

from gan_core.config import Experiment
from gan_core.models import dcgan
from gan_core.models.common import DiscriminatorOutput, draw_latents

__all__ = ["ARCHITECTURES", "DiscriminatorOutput", "build_discriminator", "build_generator", "draw_latents"]


@dataclass(frozen=True)
class ArchitectureNetworks:
    """The two classes of an architecture; both take (experiment, channels, image_size, n_classes)."""

    generator: type[nn.Module]
    discriminator: type[nn.Module]


ARCHITECTURES = {"dcgan": ArchitectureNetworks(dcgan.Generator, dcgan.Discriminator)}


def build_generator(experiment: Experiment, *, channels: int, image_size: int, n_classes: int) -> nn.Module:
    """The generator of `experiment`, with fresh weights from torch's global random state.

    `forward(z (B, latent.size) float, labels int64 (B,) or None)` gives images (B, channels, image_size,
    image_size) in [-1, 1]. `n_classes` counts only where the experiment is conditional. The module has the
    attributes `latent` (the experiment's section) and `n_classes` (0: unconditional). Raises `ConfigError`
    for a size that the architecture cannot make.
    """
    build = ARCHITECTURES[experiment.architecture.name].generator
    return build(experiment, channels, image_size, n_classes if experiment.conditional else 0)


def build_discriminator(
    experiment: Experiment, *, channels: int, image_size: int, n_classes: int
) -> nn.Module:
    """The discriminator or critic of `experiment`, with fresh weights from torch's global random state.

    `forward(images (B, channels, image_size, image_size), labels=None)` gives a `DiscriminatorOutput`.
    Raises `ConfigError` for a size that the architecture cannot take.
    """
    build = ARCHITECTURES[experiment.architecture.name].discriminator
    return build(experiment, channels, image_size, n_classes if experiment.conditional else 0)
