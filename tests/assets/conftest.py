"""A small world: one dataset of 300 digits, two experiments that take seconds, a store and an instance."""

from pathlib import Path

import dagster as dg
import pytest

from gan_core.config import Configs, load_configs
from gan_core.store import Store
from pipelines.definitions import build_definitions
from tests.few_images import look_at_few
from tests.small_project import DATASET, EXPERIMENT, write_config


class Project:
    """Configuration files, a store and a Dagster instance of a test's own."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance):
        self.folder, self.instance = folder, instance
        self.store = Store(folder / "store")
        for content in (DATASET, EXPERIMENT):
            self.write(content)
        self.write({**EXPERIMENT, "name": "conditional", "conditioning": {"name": "acgan"}})

    def write(self, content: dict) -> None:
        write_config(self.folder / "configs", content)

    @property
    def configs(self) -> Configs:
        return load_configs(self.folder / "configs")

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.configs)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    look_at_few(monkeypatch)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)
