"""Where Dagster keeps its state: DAGSTER_HOME, or `.dagster/` in the clone."""

import os
import re
import shutil
from pathlib import Path

import dagster as dg

from gan_core.data.local_files import locked
from gan_core.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = "dagster.yaml"
PASSWORD = re.compile(r"(//[^\s:/@]*):\S*@")


def open_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, with its databases: of several processes that open a new one at once, one
    creates them and the others wait.

    Raises `ConfigError` where they cannot be opened, as with a database server that is out of reach.
    """
    home = _home()
    with locked(home / SETTINGS, emit=lambda line: None):
        if not (home / SETTINGS).exists():
            _copy_settings(home)
        try:
            return dg.DagsterInstance.get()
        except Exception as error:  # the database's driver has classes of its own
            raise ConfigError(
                f"Dagster's state, which {home / SETTINGS} says the place of, cannot be opened: "
                f"{_reason(error)}; mend that, or name another folder with DAGSTER_HOME"
            ) from error


def _reason(error: BaseException) -> str:
    """What is behind an error, in one line, without the password of a URL."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    return PASSWORD.sub(r"\1:***@", text)


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
