"""Networks: generators and discriminators by the name of their architecture.

A new architecture is one file in `architectures`. What surrounds its layers (conditioning, heads, initial
weights, spectral norm) is the same for all and stands in `networks`; layers that several use stand in
`layers`, `strided_convolutions` and `residual_blocks`. This package itself does not import torch before a
network is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.errors import ConfigError
from gan_core.models.architectures import ARCHITECTURES, check_image_size

if TYPE_CHECKING:
    from gan_core.config import Experiment
    from gan_core.models.networks import Discriminator, Generator

__all__ = ["ARCHITECTURES", "build_discriminator", "build_generator", "check_image_size"]


def build_generator(experiment: Experiment, *, channels: int, image_size: int, n_classes: int) -> Generator:
    """The generator of `experiment`, with fresh weights from torch's global random state.

    `forward(z (B, latent.size) float, labels int64 (B,) or None)` gives images (B, channels, image_size,
    image_size) in `output.image_range`. `n_classes` counts only where the experiment is conditional. The
    module has the attributes `latent` (the experiment's section) and `n_classes` (0: unconditional). Raises
    `ConfigError` for a size that the architecture cannot make, and for a condition without classes.
    """
    from gan_core.models.networks import Generator

    architecture = experiment.architecture
    check_image_size(architecture.name, image_size)
    n_classes = _classes(experiment, n_classes)
    beside_latent = 0 if architecture.class_in_norms else n_classes
    project, layers = ARCHITECTURES[architecture.name].generator_layers(
        architecture, experiment.latent.size + beside_latent, channels, image_size, n_classes
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
    from gan_core.models.networks import Discriminator

    architecture = experiment.architecture
    check_image_size(architecture.name, image_size)
    layers, features = ARCHITECTURES[architecture.name].discriminator_layers(
        architecture, channels, image_size
    )
    return Discriminator(experiment, layers, features, _classes(experiment, n_classes))


def _classes(experiment: Experiment, n_classes: int) -> int:
    if experiment.conditional and not n_classes:
        raise ConfigError(
            f"experiment `{experiment.name}`: conditioning `{experiment.conditioning.name}` needs classes, "
            f"but dataset `{experiment.dataset}` has none: set its `classes`, or conditioning to `none`"
        )
    return n_classes if experiment.conditional else 0
