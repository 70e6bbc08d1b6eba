"""Where Dagster keeps its state: DAGSTER_HOME, or `.dagster/` in the clone."""

import os
import shutil

import dagster as dg

from pipelines.resources import REPOSITORY


def open_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME; a home without dagster.yaml gets the shipped one."""
    home = os.environ.setdefault("DAGSTER_HOME", str(REPOSITORY / ".dagster"))
    os.makedirs(home, exist_ok=True)
    settings = os.path.join(home, "dagster.yaml")
    if not os.path.exists(settings):
        shutil.copy(REPOSITORY / "dagster.yaml", settings)
    return dg.DagsterInstance.get()
