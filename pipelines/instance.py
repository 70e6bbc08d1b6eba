"""Where Dagster keeps its state: DAGSTER_HOME, or `.dagster/` in the clone."""

import os
import shutil
from pathlib import Path

import dagster as dg

REPOSITORY = Path(__file__).resolve().parents[1]


def open_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME."""
    prepare_home()
    return dg.DagsterInstance.get()


def dagster_home() -> str:
    """DAGSTER_HOME, or where it is by default."""
    return os.environ.get("DAGSTER_HOME") or str(REPOSITORY / ".dagster")


def prepare_home() -> None:
    """Set DAGSTER_HOME where it is not set; a home without dagster.yaml gets the shipped one."""
    home = os.environ.setdefault("DAGSTER_HOME", dagster_home())
    os.makedirs(home, exist_ok=True)
    settings = os.path.join(home, "dagster.yaml")
    if not os.path.exists(settings):
        copied = f"{settings}.{os.getpid()}"
        try:
            shutil.copy(REPOSITORY / "dagster.yaml", copied)
            os.replace(copied, settings)  # half of it would be taken for all of it
        except OSError:
            Path(copied).unlink(missing_ok=True)
            raise
