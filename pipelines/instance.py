"""Where Dagster keeps its state: DAGSTER_HOME, or `.dagster/` in the clone."""

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from gan_core.data.local_files import locked
from gan_core.disks import telling_of_disks
from gan_core.durable import replace_durably
from gan_core.errors import ConfigError, GanError

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = "dagster.yaml"
UNSET = re.compile(r'environment variable "(\w+)" which is not set')
# How dagster-postgres begins each of its warnings, of four lines, while a server does not answer.
RETRYING = "Retrying failed database connection"


def open_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, with its databases: of several processes that open a new one at once, one
    creates them and the others wait.

    Raises `StoreError` for a disk that takes nothing more, and `ConfigError` where they cannot be opened for
    another reason, as with a database server that is out of reach.
    """
    home = dagster_home()
    os.environ["DAGSTER_HOME"] = str(home)
    with telling_of_disks({"DAGSTER_HOME": home}):
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / SETTINGS, emit=lambda line: None):
            if not (home / SETTINGS).exists():
                _copy_settings(home)
            return _open(home)


def dagster_home() -> Path:
    """DAGSTER_HOME, or where it is by default."""
    return Path(os.environ.get("DAGSTER_HOME") or REPOSITORY / ".dagster")


def _open(home: Path) -> dg.DagsterInstance:
    try:
        with telling_of_disks({"DAGSTER_HOME": home}), _retrying_in_one_line():
            return dg.DagsterInstance.get()
    except GanError:
        raise
    except Exception as error:  # the database's driver has classes of its own
        raise ConfigError(
            f"Dagster's state, which {home / SETTINGS} says the place of, cannot be opened: "
            f"{_reason(error)}, or name another folder with DAGSTER_HOME"
        ) from error


def _reason(error: BaseException) -> str:
    """What is behind an error, and what to do, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if unset := UNSET.search(str(error)):
        return f"it names the environment variable {unset[1]}, which is not set: set it"
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return f"{error}: begin the URL of PostgreSQL with `postgresql+psycopg2://`"
    return (" ".join(str(error).split()) or type(error).__name__) + "; mend that"


@contextlib.contextmanager
def _retrying_in_one_line() -> Iterator[None]:
    told = False

    def is_something_else(record: logging.LogRecord) -> bool:
        nonlocal told
        if not record.getMessage().startswith(RETRYING):
            return True
        if not told:
            print("Dagster's database does not answer: trying again", file=sys.stderr, flush=True)
        told = True
        return False

    root = logging.getLogger()
    root.addFilter(is_something_else)
    try:
        yield
    finally:
        root.removeFilter(is_something_else)


def _copy_settings(home: Path) -> None:
    """The shipped dagster.yaml, whole at once: half of it would be taken for all of it."""
    temporary = home / f".{SETTINGS}.{os.getpid()}"
    try:
        shutil.copy(REPOSITORY / SETTINGS, temporary)
        replace_durably(temporary, home / SETTINGS)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
