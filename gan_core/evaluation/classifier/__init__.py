"""The dataset's own classifier, whose features evaluation uses: its network, its training, its artefact."""

from gan_core.evaluation.classifier.artefact import load_classifier, train_classifier
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE

__all__ = ["CLASSIFIER_FILE", "load_classifier", "train_classifier"]
