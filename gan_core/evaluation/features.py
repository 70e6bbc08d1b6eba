"""Feature extractors: uint8 images -> features and class logits.

An extractor is any object with the attributes of `FeatureExtractor`. `classifier` is a small network trained
on the dataset itself, so its numbers compare within a dataset only; `inception` is the network of the papers.
"""

import functools
import json
import os
import pickle
import urllib.error
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from gan_core.devices import default_device
from gan_core.errors import EvaluationError
from gan_core.store import sha256_of


class FeatureExtractor(Protocol):
    """`fingerprint` is the sha256 of the weights (64 hex digits); `n_classes` is None without classes.

    `classes` names the classes where the extractor knows the dataset's own; `resize` says what `extract` does
    to sizes other than the network's.
    """

    name: str
    fingerprint: str
    feature_dim: int
    n_classes: int | None
    classes: tuple[str, ...] | None
    resize: str

    def extract(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (B, D) and logits (B, K) or None, float32, of uint8 images (B, C, H, W)."""


# --- classifier -------------------------------------------------------------------------------------------

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

    FEATURE_DIM = 128
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
            *self._block(128, self.FEATURE_DIM),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(self.FEATURE_DIM, n_classes)

    @staticmethod
    def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        features = self.body(x)
        return features, self.head(features)


class ClassifierExtractor:
    """The features of the penultimate layer and the logits of a trained `ClassifierNetwork`.

    A classifier of rotations has features, but no class: its `n_classes` and its logits are None.
    """

    name = "classifier"
    resize = "none"
    feature_dim = ClassifierNetwork.FEATURE_DIM

    def __init__(self, path: str | os.PathLike):
        """Read a file of `save_classifier`; an `EvaluationError` if it is none."""
        self.path = Path(path)
        self.description = _read_description(self.path)
        self.fingerprint = sha256_of(self.path)
        labelled = self.description.task == "labels"
        self.classes = self.description.classes if labelled else None
        self.n_classes = len(self.description.classes) if labelled else None
        network = _network_for(self.description)
        try:
            network.load_state_dict(load_file(self.path))
        except RuntimeError as error:
            raise EvaluationError(
                f"{self.path} does not hold this classifier's weights: train it again: {error}"
            ) from error
        self.device = default_device()
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def extract(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `FeatureExtractor`. Images of another size or another number of channels are refused."""
        expected = (self.description.channels, self.description.image_size, self.description.image_size)
        _check_images(images)
        if tuple(images.shape[1:]) != expected:
            raise EvaluationError(
                f"{self.path.name} was trained on images of {_shape(expected)}, but these are "
                f"{_shape(images.shape[1:])}: bring them to that size (`image_size`) or train "
                "a classifier on them"
            )
        features, logits = self.network(images.to(self.device))
        return features.float(), logits.float() if self.n_classes else None


def save_classifier(network: ClassifierNetwork, description: ClassifierDescription, path: Path) -> None:
    """Write weights and description as one safetensors file, the same bytes for the same weights."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, path, metadata={"classifier": json.dumps(asdict(description), sort_keys=True)})


def _network_for(description: ClassifierDescription) -> ClassifierNetwork:
    return ClassifierNetwork(description.channels, description.image_size, len(description.classes))


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


# --- inception --------------------------------------------------------------------------------------------

WEIGHTS_REMEDY = "set `evaluation.inception_weights` or GAN_INCEPTION_WEIGHTS to a copy of the file"


class InceptionExtractor:
    """The TensorFlow Inception of 2015-12-05, as torch-fidelity's `inception-v3-compat` gives it.

    2048 features and the 1008 unbiased logits that the Inception Score is defined on. torch-fidelity resizes
    to 299x299 itself, as TensorFlow 1 did. Greyscale images are repeated over three channels.
    """

    name = "inception"
    resize = "299-tf1-bilinear"
    feature_dim = 2048
    n_classes = 1008
    classes = None

    def __init__(self, weights_path: str | os.PathLike | None = None):
        """Load the weights of `inception_weights_file`; a file with other weights is an `EvaluationError`."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = inception_weights_file(weights_path)
        _check_inception_weights(path)
        self.fingerprint = inception_fingerprint(path)
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
            )
        except RuntimeError as error:
            raise EvaluationError(_wrong_weights(path, str(error).splitlines()[0])) from error
        self.device = default_device()
        self.network = network.to(self.device)

    @torch.inference_mode()
    def extract(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `FeatureExtractor`; images of 1 or 3 channels and any size."""
        _check_images(images)
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        features, logits = self.network(images.to(self.device))
        return features, logits


def inception_weights_file(weights: str | os.PathLike | None = None) -> Path:
    """The local file of the Inception weights: GAN_INCEPTION_WEIGHTS before `weights`, each a path or URL;
    without them torch-fidelity's own file, downloaded once into the cache of torch.hub.

    An `EvaluationError` says what to set where it is missing or cannot be downloaded.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    place = str(os.environ.get("GAN_INCEPTION_WEIGHTS") or weights or URL_INCEPTION_V3)
    if "://" in place:
        return _download_weights(place)
    if not Path(place).is_file():
        raise EvaluationError(f"the Inception weights {place} are not there: {WEIGHTS_REMEDY}")
    return Path(place)


def inception_fingerprint(path: Path) -> str:
    """sha256 of the weights file; hashed once a process for a file that does not change."""
    status = path.stat()
    return _sha256_once(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _sha256_once(path: Path, size: int, modified: int) -> str:
    return sha256_of(path)


def _download_weights(url: str) -> Path:
    # A file name that torch.hub would use too, so that a copy which torch-fidelity downloaded is found.
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target), _hash_in_name(target.name), progress=False)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise EvaluationError(
            f"the Inception weights cannot be downloaded from {url} ({error}): {WEIGHTS_REMEDY}"
        ) from error
    return target


def _hash_in_name(name: str) -> str | None:
    """torch.hub's convention: `name-<first 8 hex digits of the sha256>.pth`."""
    match = torch.hub.HASH_REGEX.search(name)
    return match.group(1) if match else None


def _check_inception_weights(path: Path) -> None:
    # torch-fidelity unpickles without restraint: let nothing reach it that a weights-only load refuses.
    try:
        state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise EvaluationError(_wrong_weights(path, "not a file of torch weights")) from error
    if not isinstance(state, dict) or "Mixed_7c.branch_pool.conv.weight" not in state:
        raise EvaluationError(_wrong_weights(path, "not the layers of Inception v3"))


def _wrong_weights(path: Path, reason: str) -> str:
    return f"{path} does not hold the Inception weights of torch-fidelity ({reason}): {WEIGHTS_REMEDY}"


# --- both -------------------------------------------------------------------------------------------------


def _check_images(images: torch.Tensor) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] not in (1, 3):
        raise EvaluationError(
            f"images must be uint8 (B, 1 or 3, H, W), not {images.dtype} {tuple(images.shape)}"
        )


def _shape(shape) -> str:
    channels, height, width = shape
    return f"{width}x{height} pixels in {channels} channel{'s' if channels > 1 else ''}"
