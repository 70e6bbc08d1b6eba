"""A configuration folder of one dataset and one experiment."""

from pathlib import Path

import pytest

from tests.small_configs import DATASET, EXPERIMENT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "datasets" / "tiny.yaml").write_text(DATASET)
    (tmp_path / "experiments" / "first.yaml").write_text(EXPERIMENT)
    return tmp_path
