"""DCGAN for 16 to 256 pixels (Radford et al. 2016), and ACGAN's class input and class head on it.

Both networks double or halve the side between 4 pixels and the image's, with 4x4 kernels and stride 2, as
the authors' code and PyTorch's example do at 64. The number of filters doubles with every layer away from
the image, up to 16 times `width`, which only 256 pixels exceed.

ACGAN (Odena et al. 2017): the class enters the generator one-hot beside the latent, and the discriminator
has a second linear head on the features that its first one uses.
"""

import math

import torch
from torch import Tensor, nn

from gan_core.config import Experiment
from gan_core.models.common import DiscriminatorOutput, check_image_size, initialize_normal, norm_layer

FIRST_SIDE = 4
WIDEST = 16


def filters(width: int, image_size: int) -> list[int]:
    """Filters after each layer that halves, from the image down to 4 pixels."""
    return [width * min(2**layer, WIDEST) for layer in range(int(math.log2(image_size // FIRST_SIDE)))]


class Generator(nn.Module):
    """z (B, latent.size), labels int64 (B,) or None -> images (B, channels, side, side) in [-1, 1]."""

    def __init__(self, experiment: Experiment, channels: int, image_size: int, n_classes: int):
        super().__init__()
        check_image_size("dcgan", image_size)
        self.latent, self.n_classes = experiment.latent, n_classes
        widths = filters(experiment.architecture.width, image_size)[::-1]
        # The paper's projection: a transposed convolution of one pixel is this matrix product, but slower.
        self.project = nn.Linear(self.latent.size + n_classes, widths[0] * FIRST_SIDE**2, bias=False)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (widths[0], FIRST_SIDE, FIRST_SIDE)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialize_normal)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.n_classes:
            # functional.one_hot would check the labels on the host, and so wait for the device.
            one_hot = labels[:, None] == torch.arange(self.n_classes, device=z.device)
            z = torch.cat([z, one_hot.to(z.dtype)], dim=1)
        return self.layers(self.project(z))


class Discriminator(nn.Module):
    """images (B, channels, side, side) -> `DiscriminatorOutput`; class logits where there are classes.

    As in the paper, the first layer has no norm. `labels` is for conditionings that use it.
    """

    def __init__(self, experiment: Experiment, channels: int, image_size: int, n_classes: int):
        super().__init__()
        check_image_size("dcgan", image_size)
        self.n_classes = n_classes
        norm = experiment.architecture.discriminator_norm
        widths = filters(experiment.architecture.width, image_size)
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"),
                norm_layer(norm, after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        features = widths[-1] * FIRST_SIDE**2
        self.score = nn.Linear(features, 1)
        self.classify = nn.Linear(features, n_classes) if n_classes else None
        self.apply(initialize_normal)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        features = self.layers(images)
        class_logits = self.classify(features) if self.classify is not None else None
        return DiscriminatorOutput(self.score(features).squeeze(1), class_logits, features)
