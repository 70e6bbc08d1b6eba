"""The classifier of stacked digits: one network of single digits looks at each channel, and the three digits
are the class, so that none of the 1,000 classes needs images of its own."""

import hashlib

import torch
from torch import nn

from gan_core.evaluation.classifier.network import ClassifierNetwork
from gan_core.evaluation.classifier.training import LabelledImages

CHANNELS = 3


class StackedNetwork(nn.Module):
    """uint8 (B, 3, S, S) -> features (B, 384), those of the channels side by side, and logits (B, 1000): the
    log-probability of each three digits, which is the sum over the channels."""

    def __init__(self, digits: ClassifierNetwork):
        super().__init__()
        self.digits = digits
        self.feature_dim = CHANNELS * digits.feature_dim

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, logits = self.digits(_as_single(images))
        first, second, third = logits.float().log_softmax(dim=1).unflatten(0, (-1, CHANNELS)).unbind(dim=1)
        joint = first[:, :, None, None] + second[:, None, :, None] + third[:, None, None, :]
        return features.reshape(len(images), -1), joint.flatten(1)


def single_digits(stacked: LabelledImages, n_digits: int) -> LabelledImages:
    """The channels of all images (N, 3, S, S) as images (n, 1, S, S) with the digit as label, each different
    one once: the digits that the images were stacked of."""
    images = _as_single(stacked.images)
    place = n_digits ** torch.arange(CHANNELS - 1, -1, -1)
    labels = (stacked.labels[:, None] // place % n_digits).flatten()
    first: dict[bytes, int] = {}
    for number, image in enumerate(images.numpy()):
        first.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), number)
    numbers = torch.tensor(list(first.values()))
    return LabelledImages(images[numbers], labels[numbers])


def _as_single(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, S, S) as (3 N, 1, S, S), the channels of an image in a row."""
    return images.reshape(-1, 1, *images.shape[2:])
