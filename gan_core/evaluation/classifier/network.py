"""The network of the dataset's own classifier, and the file that holds it."""

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.classifier import FEATURE_DIM

ROTATIONS = ("0", "90", "180", "270")
STACKED = "stacked"


@dataclass(frozen=True)
class ClassifierDescription:
    """What a classifier file holds: `task` is `labels` (the dataset's own `classes`), `rotation`, or
    `stacked`, whose `classes` are those of a single channel."""

    task: str
    classes: tuple[str, ...]
    image_size: int
    channels: int

    @property
    def image_classes(self) -> tuple[str, ...]:
        """What a whole image is recognised as."""
        if self.task != STACKED:
            return self.classes
        return tuple("".join(three) for three in itertools.product(self.classes, repeat=self.channels))

    @property
    def seen_channels(self) -> int:
        """How many channels the network sees at a time."""
        return 1 if self.task == STACKED else self.channels


class Whitening(nn.Module):
    """A frozen first layer whose outputs are uncorrelated over the patches of the train images (Jordan 2024,
    "94% on CIFAR-10 in 3.29 seconds on a single GPU"): the eigenvectors of the patches' covariance, each over
    the root of its eigenvalue, with both signs.

    uint8 (B, C, S, S) -> float32 (B, outputs, S', S'), channels last. Images below 48 pixels keep their size
    (patches of 2x2); larger ones are cut into patches that leave about 32x32 positions.
    """

    # Patches of more than 8x8 pixels in colour keep so many directions, those of the largest variance.
    MAX_DIRECTIONS = 192
    # Below this variance (of pixels in 0..1) a direction is more noise than image.
    EPSILON = 5e-4

    def __init__(self, channels: int, image_size: int):
        super().__init__()
        self.stride = max(1, (image_size + 16) // 32)
        self.kernel = max(2, self.stride)
        self.padding = self.kernel - self.stride + -image_size % self.stride
        dimensions = channels * self.kernel**2
        directions = min(dimensions, self.MAX_DIRECTIONS)
        self.outputs = 2 * directions
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("directions", torch.zeros(directions, channels, self.kernel, self.kernel))

    def fit(self, images: torch.Tensor) -> None:
        """Take the patches of these uint8 images (N, C, S, S)."""
        parts = images.split(16)  # in float64 all of them could be too large
        mean = sum(part.double().mean(dim=(2, 3)).sum(dim=0) for part in parts) / len(images) / 255
        self.mean.copy_(mean[:, None, None])
        scatter, patches = 0, 0
        for part in parts:
            pixels = part.double() / 255 - self.mean
            columns = F.unfold(pixels, self.kernel, stride=self.stride)  # (B, dimensions, patches)
            scatter = scatter + (columns @ columns.transpose(1, 2)).sum(dim=0)
            patches += columns.shape[0] * columns.shape[2]
        values, vectors = torch.linalg.eigh(scatter / patches)
        strongest = slice(-len(self.directions), None)
        scaled = vectors[:, strongest] / (values[strongest].clamp(min=0) + self.EPSILON).sqrt()
        self.directions.copy_(scaled.T.reshape(self.directions.shape))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = F.conv2d(self._centred(images.float() / 255), self.directions, stride=self.stride)
            return torch.cat([x, -x], dim=1)

    def _centred(self, pixels: torch.Tensor) -> torch.Tensor:
        """Padded above and on the left, where no patch would fit otherwise, by the mean."""
        padding = (self.padding, 0, self.padding, 0)
        return F.pad(pixels - self.mean, padding).contiguous(memory_format=torch.channels_last)


class ClassifierNetwork(nn.Module):
    """A small convolutional network: uint8 (B, C, S, S) -> features (B, 128) and logits (B, classes).

    After Jordan 2024: whitened patches, then three pairs of convolutions, each pair at half the side, whose
    maxima are the features. The first pair is at half the side already (16x16 of 32x32): a quarter the cost.
    """

    WIDTHS = (64, 128, 256)
    feature_dim = FEATURE_DIM

    def __init__(self, channels: int, image_size: int, n_classes: int):
        super().__init__()
        self.whitening = Whitening(channels, image_size)
        first, second, third = self.WIDTHS
        width = self.whitening.outputs
        layers: list[nn.Module] = [nn.SiLU()]
        if width > first:  # the many directions of large patches, mixed at little cost
            layers += _convolution(width, first // 2, kernel=1)
            width = first // 2
        self.body = nn.Sequential(
            *layers,
            *_convolution(width, first, stride=2),
            *_convolution(first, first),
            _Halved(),
            *_convolution(first, second),
            *_convolution(second, second),
            _Halved(),
            *_convolution(second, third),
            *_convolution(third, FEATURE_DIM),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(FEATURE_DIM, n_classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(self.whitening(images))
        return features, self.head(features)


class _Halved(nn.Module):
    """The maxima of 2x2 positions; a single position stays."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """With batch normalisation and SiLU. A convolution that keeps the side begins by passing on its inputs
    (Zagoruyko and Komodakis 2017), the rest of its outputs are random."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    if kernel > 1 and stride == 1:
        nn.init.dirac_(convolution.weight.data[: min(inputs, outputs)])
    return [convolution, nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)]


def save_classifier(network: ClassifierNetwork, description: ClassifierDescription, path: Path) -> None:
    """Write weights and description as one safetensors file, the same bytes for the same weights."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, path, metadata={"classifier": json.dumps(asdict(description), sort_keys=True)})


def read_classifier(path: Path) -> tuple[ClassifierNetwork, ClassifierDescription]:
    """The network of a file of `save_classifier`, on the CPU (of stacked digits that of one channel); an
    `EvaluationError` if it is none, or one whose weights measure nothing."""
    description = _read_description(path)
    network = ClassifierNetwork(description.seen_channels, description.image_size, len(description.classes))
    try:
        weights = load_file(path)
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise EvaluationError(
            f"{path} does not hold this classifier's weights: train it again: {error}"
        ) from error
    _check_weights(path, weights)
    return network, description


def _check_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise EvaluationError(
                f"{path} has NaN or infinite weights in `{name}`, so that no figure would mean anything: "
                "train the classifier again"
            )
    if not weights["whitening.directions"].any():
        raise EvaluationError(
            f"the first layer of {path} is all zero, so that all images look the same to it: train the "
            "classifier again"
        )


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
