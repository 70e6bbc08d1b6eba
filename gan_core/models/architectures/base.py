"""What an architecture is. Nothing here imports torch before layers are made: definitions read the sizes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from gan_core.config import Architecture


class NetworkPair(ABC):
    """A generator and a discriminator that belong together: their layers, and what may be asked of them.

    `sizes`: the sides in pixels that it can make. `default_width`: that of the paper. `default_norm`: the
    norm of both networks where none is given. `generator_norms`: what `generator_norm` may be. `has_maps`:
    its discriminator has maps of pixels, which `minibatch_stddev` needs.
    """

    sizes: ClassVar[tuple[int, ...]]
    default_width: ClassVar[int]
    default_norm: ClassVar[str] = "batch"
    generator_norms: ClassVar[tuple[str, ...]] = ("batch", "layer", "none")
    has_maps: ClassVar[bool] = True

    @staticmethod
    @abstractmethod
    def generator_layers(
        architecture: Architecture, inputs: int, channels: int, image_size: int, n_classes: int
    ) -> tuple[nn.Linear, nn.Sequential]:
        """A linear layer on (B, inputs), and the layers from there to images before the last activation.

        `n_classes` is for the norm `conditional_batch`: with it the inputs are the latents alone, and the
        layers a `ClassSequential`.
        """

    @staticmethod
    @abstractmethod
    def discriminator_layers(
        architecture: Architecture, channels: int, image_size: int
    ) -> tuple[nn.Sequential, int]:
        """The layers from images to flat features (B, features), and the number of features."""


ARCHITECTURES: dict[str, type[NetworkPair]] = {}
