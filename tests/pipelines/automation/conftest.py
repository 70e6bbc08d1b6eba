"""A project whose files are written by the tests, and a store."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test

from pipelines.automation.notifications import LEDGER
from tests.pipelines.automation.bench import Bench
from tests.small_project import DATASET, EXPERIMENT


@pytest.fixture
def bench(tmp_path: Path, monkeypatch) -> Bench:
    """`few-digits` with the experiments `plain` and `other`, and no schedule."""
    found = Bench(tmp_path)
    found.write("datasets", DATASET)
    found.write("experiments", EXPERIMENT)
    found.write("experiments", {**EXPERIMENT, "name": "other", "seed": 1, "tags": ["draft"]})
    monkeypatch.setenv("GAN_CONFIGS", str(tmp_path / "configs"))
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    return found


@pytest.fixture(scope="session")
def shared_instance():
    with instance_for_test() as instance:
        yield instance


@pytest.fixture
def instance(shared_instance) -> dg.DagsterInstance:
    """An empty one, on files, as it is used."""
    shared_instance.wipe()  # which leaves what daemons remember
    shared_instance.daemon_cursor_storage.set_cursor_values({LEDGER: ""})
    return shared_instance
