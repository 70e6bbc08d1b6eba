"""The two networks of every architecture, around the layers that the architecture makes.

Conditioning. In the generator, the class stands one-hot beside the latent, or chooses the scales and shifts
of its norms. ACGAN (Odena et al. 2017): the discriminator has a second linear head on the features that its
first one uses. Projection (Miyato and Koyama 2018, equation 3): score = linear(features) + <embedding(class),
features>.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_core.config import Experiment
from gan_core.errors import GanError
from gan_core.models.common import DiscriminatorOutput, initialize, one_hot
from gan_core.models.layers import (
    MinibatchDiscrimination,
    MinibatchStddev,
    at_least_float32,
    normalize_spectrum,
)

BATCH_LAYERS = (_BatchNorm, MinibatchDiscrimination, MinibatchStddev)
OUTPUT_ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Generator(nn.Module):
    """z (B, latent.size), labels int64 (B,) or None -> images (B, C, side, side) in `output.image_range`.

    `project` takes (B, latent.size + n_classes), `layers` what it gives; with a norm that sees the class
    `project` takes the latents alone, and `layers` the classes beside what it gives. Raises `GanError` where
    a conditional generator gets no labels.
    """

    def __init__(self, experiment: Experiment, project: nn.Linear, layers: nn.Sequential, n_classes: int):
        super().__init__()
        self.latent, self.n_classes = experiment.latent, n_classes
        self.image_range = experiment.output.image_range
        self.class_in_norms = experiment.architecture.class_in_norms
        self.project, self.layers = project, layers
        self.activation = OUTPUT_ACTIVATIONS[experiment.output.activation]()
        initialize(self, experiment.architecture.initialization)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.n_classes:
            z = torch.cat([z, _classes(labels, self.n_classes, z.dtype, "generator")], dim=1)
        return self.of_inputs(z)

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """The images of latents with their classes beside them, (B, latent.size + n_classes): a row of
        classes is one-hot, or a mixture whose weights add up to 1."""
        if self.class_in_norms:
            z, classes = inputs.split([self.latent.size, self.n_classes], dim=1)
            images = self.layers(self.project(z), classes)
        else:
            images = self.layers(self.project(inputs))
        return self.activation(at_least_float32(images))


class Discriminator(nn.Module):
    """images (B, C, side, side), labels int64 (B,) or None -> `DiscriminatorOutput`.

    `layers` gives flat features (B, features). The heads on them read the minibatch discrimination beside
    them where the architecture has it. `judges_images_alone`: what it says of an image does not depend on
    the batch that the image is in. Raises `GanError` where projection gets no labels.
    """

    def __init__(self, experiment: Experiment, layers: nn.Sequential, features: int, n_classes: int):
        super().__init__()
        architecture, conditioning = experiment.architecture, experiment.conditioning.name
        kernels = architecture.minibatch_discrimination
        self.n_classes = n_classes
        self.layers = layers
        self.minibatch = MinibatchDiscrimination(features, kernels) if kernels else None
        self.score = nn.Linear(features + kernels, 1)
        self.classify = nn.Linear(features + kernels, n_classes) if conditioning == "acgan" else None
        # A row of an embedding is this product with a one-hot vector, which has a deterministic gradient.
        projects = conditioning == "projection"
        self.embed = nn.Linear(n_classes, features + kernels, bias=False) if projects else None
        initialize(self, architecture.initialization)
        if architecture.spectral_norm:
            normalize_spectrum(self)
        self.judges_images_alone = not any(isinstance(module, BATCH_LAYERS) for module in self.modules())

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        features = self.layers(images)
        with torch.autocast(images.device.type, enabled=False):
            return self._judge(at_least_float32(features), labels)

    def _judge(self, features: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        """What the heads say of features (B, features), never in 16 bits."""
        read = features
        if self.minibatch is not None:
            read = torch.cat([features, self.minibatch(features)], dim=1)
        score = self.score(read).squeeze(1)
        if self.embed is not None:
            classes = _classes(labels, self.n_classes, read.dtype, "discriminator with projection")
            score = score + (self.embed(classes) * read).sum(1)
        class_logits = self.classify(read) if self.classify is not None else None
        return DiscriminatorOutput(score, class_logits, features)


def _classes(labels: Tensor | None, n_classes: int, dtype: torch.dtype, who: str) -> Tensor:
    if labels is None:
        raise GanError(
            f"a {who} of {n_classes} classes was called without labels: pass int64 labels (B,), each below "
            f"{n_classes}"
        )
    return one_hot(labels, n_classes, dtype)
