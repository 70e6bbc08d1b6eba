"""What a feature extractor is, and what several of them share."""

import abc
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

    Class attributes: `name`, as YAML files and protocols have it; `feature_dim`; `resize`, what `extract`
    does to sizes other than the network's (`none`: such images are refused); `compares_with_papers`; and
    `needs_classifier`, whether its weights are the dataset's classifier.
    Attributes of an object: `fingerprint`, the sha256 of the weights (64 hex digits); `n_classes`, None where
    the logits are not of classes; `classes`, their names where they are the dataset's own; `channels`, of the
    images that it is best given.
    """

    name: ClassVar[str]
    feature_dim: ClassVar[int]
    resize: ClassVar[str] = "none"
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


def shape_in_words(shape: Any) -> str:
    """(C, H, W) as `32x32 pixels in 3 channels`."""
    channels, height, width = shape
    return f"{width}x{height} pixels in {channels} channel{'s' if channels > 1 else ''}"


# --- weights that are downloaded --------------------------------------------------------------------------


def weights_file(name: str, given: str | os.PathLike | None, url: str) -> Path:
    """The local file of an extractor's weights: GAN_<NAME>_WEIGHTS before `given`, each a path or URL;
    without them `url`, downloaded once into the cache of torch.hub.

    An `EvaluationError` says what to set where it is missing or cannot be downloaded.
    """
    place = str(os.environ.get(f"GAN_{name.upper()}_WEIGHTS") or given or url)
    if "://" in place:
        return _download(name, place)
    if not Path(place).is_file():
        raise EvaluationError(f"the weights {place} of {name} are not there: {weights_remedy(name)}")
    return Path(place)


def weights_remedy(name: str) -> str:
    """How a user names another file of weights, as the end of a message."""
    return f"set `evaluation.weights.{name}` or GAN_{name.upper()}_WEIGHTS to a copy of the file"


def _download(name: str, url: str) -> Path:
    # A file name that torch.hub would use too, so that a copy which another program downloaded is found.
    target = _hub_folder() / "checkpoints" / url.partition("?")[0].rsplit("/", 1)[-1]
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


def _hub_folder() -> Path:
    """torch.hub's folder; asked of torch where it is loaded, else found as torch finds it."""
    if "torch.hub" in sys.modules:
        return Path(sys.modules["torch.hub"].get_dir())
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(caches, "torch")).expanduser() / "hub"
