"""The dataset's own classifier: fast and offline, but its figures compare within a dataset only."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import (
    EXTRACTORS,
    ExtractorSources,
    FeatureExtractor,
    check_images,
    shape_in_words,
)
from gan_core.registry import register
from gan_core.remedies import how_to_make

if TYPE_CHECKING:
    import torch

CLASSIFIER_FILE = "classifier.safetensors"
FEATURE_DIM = 128


@register(EXTRACTORS, "classifier")
class ClassifierExtractor(FeatureExtractor):
    """The features of the penultimate layer and the logits of a trained `ClassifierNetwork`.

    A classifier of rotations has features, but no class: its `n_classes` and its logits are None. One of
    stacked digits looks at each channel; its classes are the three digits.
    """

    name = "classifier"
    feature_dim = FEATURE_DIM
    needs_classifier = True

    def __init__(self, path: str | os.PathLike):
        """Read a file of `save_classifier`; an `EvaluationError` if it is none, or one whose weights are not
        finite or tell no image from another."""
        import torch

        from gan_core.devices import default_device
        from gan_core.evaluation.classifier.network import STACKED, read_classifier
        from gan_core.evaluation.classifier.stacked import StackedNetwork
        from gan_core.store import sha256_of

        self.path = Path(path)
        network, self.description = read_classifier(self.path)
        self.fingerprint = sha256_of(self.path)
        self.channels = self.description.channels
        if self.description.task == STACKED:
            network = StackedNetwork(network)
            self.feature_dim = network.feature_dim
        if self.description.task != "rotation":
            self.classes = self.description.image_classes
            self.n_classes = len(self.classes)
        self.device = default_device()
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()

    @classmethod
    def fingerprint_of(cls, sources: ExtractorSources) -> str:
        from gan_core.store import Manifest, sha256_of

        found = _given(sources)
        return found.files[CLASSIFIER_FILE].sha256 if isinstance(found, Manifest) else sha256_of(Path(found))

    @classmethod
    def open(cls, sources: ExtractorSources) -> "ClassifierExtractor":
        from gan_core.store import Manifest

        found = _given(sources)
        return cls(sources.store.local(found, CLASSIFIER_FILE) if isinstance(found, Manifest) else found)

    def extract(self, images: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
        """See `FeatureExtractor`. Images of another size or another number of channels are refused."""
        import torch

        check_images(images)
        expected = (self.channels, self.description.image_size, self.description.image_size)
        if tuple(images.shape[1:]) != expected:
            raise EvaluationError(
                f"{self.path.name} was trained on images of {shape_in_words(expected)}, but these are "
                f"{shape_in_words(images.shape[1:])}: bring them to that size (`image_size`) or train "
                "a classifier on them"
            )
        with torch.inference_mode():
            features, logits = self.network(images.to(self.device))
        return features.float(), logits.float() if self.n_classes else None


def _given(sources: ExtractorSources):
    if sources.classifier is not None:
        return sources.classifier
    if sources.dataset is not None:
        raise EvaluationError(
            f"{sources.dataset} is evaluated by its classifier, but none is trained: "
            f"{how_to_make('classifier', sources.dataset)}"
        )
    raise EvaluationError(
        "the extractor `classifier` needs a trained classifier, and none is named: name the dataset whose "
        "classifier the store holds, or the path of a classifier.safetensors"
    )
