"""Small experiments for the tests of the networks."""

import pytest

from gan_core.config import Experiment


@pytest.fixture
def make_experiment():
    """Make a valid experiment of the given sections; latent of 7 numbers, width 4."""

    def make(**sections) -> Experiment:
        base = {"name": "e", "dataset": "d", "length": {"images": 100}, "latent": {"size": 7}}
        architecture = {"width": 4, **sections.pop("architecture", {})}
        return Experiment.model_validate({**base, "architecture": architecture, **sections})

    return make
