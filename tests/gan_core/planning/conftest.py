"""Projects to plan for."""

import shutil

import pytest

from tests.small_store import Project, written


@pytest.fixture
def empty(tmp_path) -> Project:
    """Nothing was made yet."""
    return written(tmp_path)


@pytest.fixture
def project(whole, tmp_path) -> Project:
    """A copy of `whole`, to be changed."""
    shutil.copytree(whole.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")
