"""A small world: one dataset of 300 digits, two experiments that take seconds, a store and an instance."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from gan_core.config import Configs, load_configs
from gan_core.store import Store
from pipelines.definitions import build_definitions

DATASET = {
    "name": "few-digits",
    "source": {"kind": "digits"},
    "image_size": 16,
    "channels": 1,
    "classes": [str(digit) for digit in range(10)],
    "test_fraction": 0.3,
    "limit": 300,
    "evaluation": {"samples": 200},
}
EXPERIMENT = {
    "name": "plain",
    "dataset": "few-digits",
    "architecture": {"width": 8},
    "latent": {"size": 16},
    "batch_size": 50,
    "length": {"images": 1000},
    "log_every": 5,
}


class Project:
    """Configuration files, a store and a Dagster instance of a test's own."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance):
        self.folder, self.instance = folder, instance
        self.store = Store(folder / "store")
        for name in ("datasets", "experiments"):
            (folder / "configs" / name).mkdir(parents=True)
        self.write("datasets", DATASET)
        self.write("experiments", EXPERIMENT)
        self.write("experiments", {**EXPERIMENT, "name": "conditional", "conditioning": {"name": "acgan"}})

    def write(self, kind: str, content: dict) -> None:
        path = self.folder / "configs" / kind / f"{content['name']}.yaml"
        path.write_text(yaml.safe_dump(content))

    @property
    def configs(self) -> Configs:
        return load_configs(self.folder / "configs")

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.configs)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)
