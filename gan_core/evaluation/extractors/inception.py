"""The Inception of the papers: figures by it compare with theirs."""

import functools
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import (
    EXTRACTORS,
    ExtractorSources,
    FeatureExtractor,
    check_images,
    weights_file,
    weights_remedy,
)
from gan_core.registry import register

if TYPE_CHECKING:
    import torch

# torch-fidelity's own copy of TensorFlow's weights of 2015-12-05.
URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)


@register(EXTRACTORS, "inception")
class InceptionExtractor(FeatureExtractor):
    """The TensorFlow Inception of 2015-12-05, as torch-fidelity's `inception-v3-compat` gives it.

    2048 features and the 1008 unbiased logits that the Inception Score is defined on. torch-fidelity resizes
    to 299x299 itself, as TensorFlow 1 did. Greyscale images are repeated over three channels.
    """

    name = "inception"
    feature_dim = 2048
    resize = "299-tf1-bilinear"
    compares_with_papers = True
    n_classes = 1008

    def __init__(self, weights: str | os.PathLike | None = None):
        """Load the weights of `inception_weights_file`; a file with other weights is an `EvaluationError`."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        from gan_core.devices import default_device

        path = inception_weights_file(weights)
        _check_weights(path)
        self.fingerprint = _fingerprint(path)
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
            )
        except RuntimeError as error:
            raise EvaluationError(_wrong_weights(path, str(error).splitlines()[0])) from error
        self.device = default_device()
        self.network = network.to(self.device)

    @classmethod
    def fingerprint_of(cls, sources: ExtractorSources) -> str:
        return _fingerprint(inception_weights_file(sources.weights.get(cls.name)))

    @classmethod
    def open(cls, sources: ExtractorSources) -> "InceptionExtractor":
        return cls(sources.weights.get(cls.name))

    def extract(self, images: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
        """See `FeatureExtractor`; images of 1 or 3 channels and any size."""
        import torch

        check_images(images)
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        with torch.inference_mode():
            features, logits = self.network(images.to(self.device))
        return features, logits


def inception_weights_file(given: str | os.PathLike | None = None) -> Path:
    """The local file of the weights: see `weights_file`."""
    return weights_file("inception", given, URL)


def _fingerprint(path: Path) -> str:
    """sha256 of the weights file; hashed once a process for a file that does not change."""
    status = path.stat()
    return _sha256_once(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _sha256_once(path: Path, size: int, modified: int) -> str:
    from gan_core.store import sha256_of

    return sha256_of(path)


def _check_weights(path: Path) -> None:
    # torch-fidelity unpickles without restraint: let nothing reach it that a weights-only load refuses.
    import torch

    try:
        state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise EvaluationError(_wrong_weights(path, "not a file of torch weights")) from error
    if not isinstance(state, dict) or "Mixed_7c.branch_pool.conv.weight" not in state:
        raise EvaluationError(_wrong_weights(path, "not the layers of Inception v3"))


def _wrong_weights(path: Path, reason: str) -> str:
    remedy = weights_remedy("inception")
    return f"{path} does not hold the Inception weights of torch-fidelity ({reason}): {remedy}"
