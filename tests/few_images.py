"""Analyses of so few images that they take a second."""

import pytest

from gan_core.analysis.kinds import arithmetic, class_sweep, interpolation, linear_probe


def look_at_few(patch: pytest.MonkeyPatch) -> None:
    """What is found means nothing; that it is found at all is what tests of the graph need."""
    patch.setattr(arithmetic, "POOL", 200)
    patch.setattr(arithmetic, "SUMS", 50)
    patch.setattr(class_sweep, "MEASURED", 50)
    patch.setattr(interpolation, "MEASURED", 100)
    patch.setattr(linear_probe, "UNTRAINED", 1)
    patch.setattr(linear_probe, "DRAWS", 1)
    patch.setattr(linear_probe, "RESAMPLES", 50)
