"""Steps of the graph that take a moment: a classifier of two epochs, analyses of few images."""

import pytest

from gan_core import steps
from gan_core.analysis.kinds import arithmetic, class_sweep, interpolation, linear_probe

EPOCHS = 2


def look_at_few(patch: pytest.MonkeyPatch) -> None:
    """What is found means nothing; that it is found at all is what tests of the graph need."""
    train_briefly(patch)
    analyse_few(patch)


def train_briefly(patch: pytest.MonkeyPatch) -> None:
    """The classifier recognises little."""
    patch.setitem(steps.CLASSIFIER_TRAINING, "max_epochs", EPOCHS)


def analyse_few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(arithmetic, "POOL", 200)
    patch.setattr(arithmetic, "SUMS", 50)
    patch.setattr(class_sweep, "MEASURED", 50)
    patch.setattr(interpolation, "MEASURED", 100)
    patch.setattr(linear_probe, "UNTRAINED", 1)
    patch.setattr(linear_probe, "DRAWS", 1)
    patch.setattr(linear_probe, "RESAMPLES", 50)
