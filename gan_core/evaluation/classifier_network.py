"""The network of the dataset's own classifier, and the file that holds it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.classifier import FEATURE_DIM

ROTATIONS = ("0", "90", "180", "270")


@dataclass(frozen=True)
class ClassifierDescription:
    """What a classifier file holds: `task` is `labels` (the dataset's own `classes`) or `rotation`."""

    task: str
    classes: tuple[str, ...]
    image_size: int
    channels: int


class ClassifierNetwork(nn.Module):
    """A small convolutional network: uint8 (B, C, S, S) -> features (B, 128) and logits (B, classes).

    Strided convolutions halve a side of 64 or more to 32 first, so that large images cost little more.
    """

    STEM_WIDTH = 32

    def __init__(self, channels: int, image_size: int, n_classes: int):
        super().__init__()
        stem, width = [], channels
        while image_size >= 64:
            stem += [*self._block(width, self.STEM_WIDTH, kernel=4, stride=2)]
            width, image_size = self.STEM_WIDTH, image_size // 2
        self.body = nn.Sequential(
            *stem,
            *self._block(width, 32),
            nn.MaxPool2d(2),
            *self._block(32, 64),
            nn.MaxPool2d(2),
            *self._block(64, 128),
            *self._block(128, FEATURE_DIM),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(FEATURE_DIM, n_classes)

    @staticmethod
    def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        features = self.body(x)
        return features, self.head(features)


def save_classifier(network: ClassifierNetwork, description: ClassifierDescription, path: Path) -> None:
    """Write weights and description as one safetensors file, the same bytes for the same weights."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, path, metadata={"classifier": json.dumps(asdict(description), sort_keys=True)})


def read_classifier(path: Path) -> tuple[ClassifierNetwork, ClassifierDescription]:
    """The network of a file of `save_classifier`, on the CPU; an `EvaluationError` if it is none."""
    description = _read_description(path)
    network = ClassifierNetwork(description.channels, description.image_size, len(description.classes))
    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise EvaluationError(
            f"{path} does not hold this classifier's weights: train it again: {error}"
        ) from error
    return network, description


def _read_description(path: Path) -> ClassifierDescription:
    if not path.is_file():
        raise EvaluationError(
            f"{path} does not exist: name the classifier.safetensors of a trained classifier"
        )
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})["classifier"])
        return ClassifierDescription(**{**values, "classes": tuple(values["classes"])})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{path} is not a classifier: name the classifier.safetensors that `python -m gan_core` or the "
            f"asset `classifier` made ({type(error).__name__}: {error})"
        ) from error
