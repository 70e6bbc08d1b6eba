"""Networks: generators and discriminators by the name of their architecture.

A new architecture is one file with the functions `generator_layers` and `discriminator_layers`, and one
entry in `ARCHITECTURES` (its image sizes stand in `gan_core.config.ARCHITECTURE_SIZES`, which definitions
read without torch). What surrounds the layers (conditioning, heads, initial weights, spectral norm) is the
same for all and stands in `networks`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from gan_core.config import Architecture, Experiment
from gan_core.errors import ConfigError
from gan_core.models import dcgan, dense_dcgan, mlp, resnet
from gan_core.models.common import DiscriminatorOutput, check_image_size, draw_latents
from gan_core.models.layers import Dropout
from gan_core.models.networks import Discriminator, Generator

__all__ = [
    "ARCHITECTURES",
    "DiscriminatorOutput",
    "Dropout",
    "build_discriminator",
    "build_generator",
    "check_image_size",
    "draw_latents",
]


@dataclass(frozen=True)
class ArchitectureLayers:
    """What an architecture is made of.

    `generator(architecture, inputs, channels, image_size)` gives a linear layer on (B, inputs) and the layers
    from there to images before the last activation. `discriminator(architecture, channels, image_size)` gives
    the layers from images to flat features, and the number of features.
    """

    generator: Callable[[Architecture, int, int, int], tuple[nn.Linear, nn.Sequential]]
    discriminator: Callable[[Architecture, int, int], tuple[nn.Sequential, int]]


ARCHITECTURES = {
    module.__name__.rpartition(".")[2]: ArchitectureLayers(
        module.generator_layers, module.discriminator_layers
    )
    for module in (dcgan, dense_dcgan, resnet, mlp)
}


def build_generator(experiment: Experiment, *, channels: int, image_size: int, n_classes: int) -> Generator:
    """The generator of `experiment`, with fresh weights from torch's global random state.

    `forward(z (B, latent.size) float, labels int64 (B,) or None)` gives images (B, channels, image_size,
    image_size) in `output.image_range`. `n_classes` counts only where the experiment is conditional. The
    module has the attributes `latent` (the experiment's section) and `n_classes` (0: unconditional). Raises
    `ConfigError` for a size that the architecture cannot make, and for a condition without classes.
    """
    architecture = experiment.architecture
    check_image_size(architecture.name, image_size)
    n_classes = _classes(experiment, n_classes)
    project, layers = ARCHITECTURES[architecture.name].generator(
        architecture, experiment.latent.size + n_classes, channels, image_size
    )
    return Generator(experiment, project, layers, n_classes)


def build_discriminator(
    experiment: Experiment, *, channels: int, image_size: int, n_classes: int
) -> Discriminator:
    """The discriminator or critic of `experiment`, with fresh weights from torch's global random state.

    `forward(images (B, channels, image_size, image_size), labels=None)` gives a `DiscriminatorOutput`;
    projection needs the labels. Whoever trains sets `draw` of each `Dropout` among its modules.
    Raises `ConfigError` as `build_generator` does.
    """
    architecture = experiment.architecture
    check_image_size(architecture.name, image_size)
    layers, features = ARCHITECTURES[architecture.name].discriminator(architecture, channels, image_size)
    return Discriminator(experiment, layers, features, _classes(experiment, n_classes))


def _classes(experiment: Experiment, n_classes: int) -> int:
    if experiment.conditional and not n_classes:
        raise ConfigError(
            f"experiment `{experiment.name}`: conditioning `{experiment.conditioning.name}` needs classes, "
            f"but dataset `{experiment.dataset}` has none: set its `classes`, or conditioning to `none`"
        )
    return n_classes if experiment.conditional else 0
