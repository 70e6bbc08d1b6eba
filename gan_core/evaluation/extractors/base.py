"""What a feature extractor is, and what several of them share."""

import abc
import functools
import os
import sys
import tempfile
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gan_core.durable import make_folder, replace_durably
from gan_core.errors import EvaluationError
from gan_core.secrets import masked

if TYPE_CHECKING:
    import torch

    from gan_core.store import Manifest, Store


@dataclass(frozen=True)
class ExtractorSources:
    """Where extractors find their weights.

    `weights`: a path or URL by the extractor's name. `classifier`: the artefact of the dataset's classifier
    in `store`, or the path of a classifier.safetensors. `dataset`: whose evaluation it is, for messages.
    """

    store: "Store | None" = None
    weights: Mapping[str, str] = field(default_factory=dict)
    classifier: "Manifest | str | os.PathLike | None" = None
    dataset: str | None = None


class FeatureExtractor(abc.ABC):
    """An extractor; the class knows what can be told without its network, an object has it loaded.

    Class attributes (of an object, where they depend on the weights): `name`, as YAML files and protocols
    have it; `feature_dim`; `resize`, what `extract` does to sizes other than the network's (`none`: such
    images are refused); `repeats_grey`, whether it makes three channels of one; `libraries`, whose versions
    decide its features beside those of torch and numpy; `compares_with_papers`; and `needs_classifier`,
    whether its weights are the dataset's classifier.
    Attributes of an object: `fingerprint`, the sha256 of the weights (64 hex digits); `n_classes`, None where
    the logits are not of classes; `classes`, their names where they are the dataset's own; `channels`, of the
    images that it is best given.
    """

    name: ClassVar[str]
    feature_dim: int
    resize: str = "none"
    repeats_grey: ClassVar[bool] = False
    libraries: tuple[str, ...] = ()
    compares_with_papers: ClassVar[bool] = False
    needs_classifier: ClassVar[bool] = False

    fingerprint: str
    n_classes: int | None = None
    classes: tuple[str, ...] | None = None
    channels: int = 3

    @classmethod
    @abc.abstractmethod
    def fingerprint_of(cls, sources: ExtractorSources) -> str:
        """The `fingerprint` of what `open` gives, without torch; an `EvaluationError` where it is missing."""

    @classmethod
    @abc.abstractmethod
    def open(cls, sources: ExtractorSources) -> "FeatureExtractor":
        """Load the network; an `EvaluationError` where its weights are missing or wrong."""

    @abc.abstractmethod
    def extract(self, images: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Features (B, D) and logits (B, K) or None, float32, of uint8 images (B, C, H, W)."""


EXTRACTORS: dict[str, type[FeatureExtractor]] = {}


def check_images(images: "torch.Tensor") -> None:
    """Raise `EvaluationError` for anything but uint8 (B, 1 or 3, H, W)."""
    import torch

    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] not in (1, 3):
        raise EvaluationError(
            f"images must be uint8 (B, 1 or 3, H, W), not {images.dtype} {tuple(images.shape)}"
        )


# How the values of 0 to 255 come to a network.
VALUES = ("unit", "symmetric", "bytes", "imagenet")
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_colour(images: "torch.Tensor") -> "torch.Tensor":
    """uint8 (B, 1 or 3, H, W) as (B, 3, H, W), grey repeated; anything else is an `EvaluationError`."""
    check_images(images)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def resized(images: "torch.Tensor", side: int) -> "torch.Tensor":
    """uint8 (B, C, H, W) as (B, C, side, side), bicubic and antialiased as Pillow does it, in 8 bits."""
    import torch
    from torch.nn import functional

    if tuple(images.shape[-2:]) == (side, side):
        return images
    pixels = images.float()
    for size in ((images.shape[-2], side), (side, side)):  # across, then down, each to whole levels of grey
        pixels = functional.interpolate(pixels, size, mode="bicubic", antialias=True)
        pixels = pixels.clamp(0, 255).round()
    return pixels.to(torch.uint8)


def normalised(images: "torch.Tensor", values: str) -> "torch.Tensor":
    """uint8 (B, 3, H, W) as float32 with one of `VALUES`: 0 to 1 (`unit`), -1 to 1 (`symmetric`), 0 to 255
    (`bytes`), or 0 to 1 less the mean and over the deviation of ImageNet's pixels (`imagenet`)."""
    import torch

    if values == "bytes":
        return images.float()
    unit = images.float() / 255
    if values == "symmetric":
        return unit * 2 - 1
    if values == "unit":
        return unit
    mean, deviation = (
        torch.tensor(numbers, device=images.device).view(3, 1, 1)
        for numbers in (IMAGENET_MEAN, IMAGENET_DEVIATION)
    )
    return (unit - mean) / deviation


def shape_in_words(shape: Any) -> str:
    """(C, H, W) as `32x32 pixels in 3 channels`."""
    channels, height, width = shape
    return f"{width}x{height} pixels in {channels} channel{'s' if channels > 1 else ''}"


# --- weights that are downloaded --------------------------------------------------------------------------


def weights_file(name: str, given: str | os.PathLike | None, url: str | None = None) -> Path:
    """The local file of an extractor's weights: GAN_<NAME>_WEIGHTS before `given`, each a path or URL;
    without them `url`, downloaded once into the cache of torch.hub.

    An `EvaluationError` says what to set where it is missing or cannot be downloaded.
    """
    place = str(os.environ.get(f"GAN_{name.upper()}_WEIGHTS") or given or url or "")
    if not place:
        raise EvaluationError(
            f"the weights of {name} are not downloaded by themselves: {weights_remedy(name)}"
        )
    if "://" in place:
        return _download(name, place)
    if not Path(place).is_file():
        raise EvaluationError(f"the weights {place} of {name} are not there: {weights_remedy(name)}")
    return Path(place)


def weights_remedy(name: str) -> str:
    """How a user names another file of weights, as the end of a message."""
    return f"set `evaluation.weights.{name}` or GAN_{name.upper()}_WEIGHTS to a copy of the file"


def sha256_once(path: Path) -> str:
    """sha256 of a file of weights; hashed once a process where it does not change."""
    status = path.stat()
    return _sha256_once(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _sha256_once(path: Path, size: int, modified: int) -> str:
    from gan_core.store import sha256_of

    return sha256_of(path)


def read_state(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a file of torch's, by name; no code of the file runs. Raises `ValueError` for others."""
    import torch

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:  # what is no pickle makes the reader of pickles raise almost anything
        raise ValueError("nothing that torch reads as weights") from error
    if not isinstance(state, dict) or not all(isinstance(item, torch.Tensor) for item in state.values()):
        raise ValueError("something else than tensors by name")
    return dict(state)


def _download(name: str, url: str) -> Path:
    # A file name that torch.hub would use too, so that a copy which another program downloaded is found.
    target = hub_folder() / "checkpoints" / url.partition("?")[0].rsplit("/", 1)[-1]
    if target.exists():
        return target
    import torch

    make_folder(target.parent)
    hash_in_name = torch.hub.HASH_REGEX.search(target.name)  # `name-<first 8 hex digits of the sha256>.pth`
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            whole = Path(folder) / target.name
            torch.hub.download_url_to_file(
                url, str(whole), hash_in_name and hash_in_name.group(1), progress=False
            )
            replace_durably(whole, target)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise EvaluationError(
            f"the weights of {name} cannot be downloaded from {masked(url)} ({error}): {weights_remedy(name)}"
        ) from error
    return target


def hub_folder() -> Path:
    """torch.hub's folder; asked of torch where it is loaded, else found as torch finds it."""
    if "torch.hub" in sys.modules:
        return Path(sys.modules["torch.hub"].get_dir())
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(caches, "torch")).expanduser() / "hub"
