"""A small project up to its evaluation, and a bundle of it."""

import shutil
from pathlib import Path

import pytest

from gan_core import steps
from gan_core.bundles.export import export_bundle
from tests.gan_core.bundles.small_bundle import make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Its classifier is trained for two epochs: these tests look at no figure for what it is worth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(steps.CLASSIFIER_TRAINING, "max_epochs", 2)
        return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def exported(project, tmp_path_factory) -> Path:
    """A bundle, which no test changes."""
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    export_bundle(project.store, project.experiment, project.dataset, folder)
    return folder


@pytest.fixture
def bundle(exported, tmp_path) -> Path:
    """A bundle to break."""
    return Path(shutil.copytree(exported, tmp_path / "bundle"))
