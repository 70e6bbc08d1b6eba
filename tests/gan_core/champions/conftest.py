"""A project of a test's own in which three experiments were evaluated."""

import shutil

import pytest

from tests.champions import make_contenders, without_onnx
from tests.made_once import made_once
from tests.small_store import Project


@pytest.fixture(scope="session")
def contenders(tmp_path_factory) -> Project:
    """Not to be changed."""
    return Project(made_once(tmp_path_factory, "contenders", make_contenders))


@pytest.fixture
def project(contenders, tmp_path, monkeypatch) -> Project:
    without_onnx(monkeypatch)
    return Project(shutil.copytree(contenders.folder, tmp_path / "project"))
