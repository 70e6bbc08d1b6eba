"""Where Dagster keeps its state: DAGSTER_HOME, or `.dagster/` in the clone."""

import os
import shutil
from pathlib import Path

import dagster as dg

from gan_core.data.local_files import locked

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = "dagster.yaml"


def open_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, with its databases: of several processes that open a new one at once, one
    creates them and the others wait."""
    home = _home()
    with locked(home / SETTINGS, emit=lambda line: None):
        if not (home / SETTINGS).exists():
            _copy_settings(home)
        return dg.DagsterInstance.get()


def _home() -> Path:
    """DAGSTER_HOME, which is set where it is not, and made where it is not there."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(REPOSITORY / ".dagster")))
    home.mkdir(parents=True, exist_ok=True)
    return home


def _copy_settings(home: Path) -> None:
    """The shipped dagster.yaml, whole at once: `dagster` itself asks for no lock."""
    temporary = home / f".{SETTINGS}.{os.getpid()}"
    shutil.copy(REPOSITORY / SETTINGS, temporary)
    os.replace(temporary, home / SETTINGS)
