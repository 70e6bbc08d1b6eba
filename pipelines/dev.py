"""`python -m pipelines dev`: `dagster dev`, without the lines that say that nothing happened.

Dagster's daemons log each look of each sensor, every 30 seconds and for ever, and `dagster dev` begins with
warnings about what this project does on purpose. Only those lines are left out: a sensor that starts a run,
every other warning and every error are shown.
"""

import os
import re
import signal
import socket
import subprocess
import sys

from gan_core.errors import UsageError
from pipelines.automation.reloading import UI_VARIABLE
from pipelines.instance import REPOSITORY, open_instance

HOST = "127.0.0.1"
QUIET = re.compile(
    "|".join(
        (
            # DAGSTER_HOME has a copy of the dagster.yaml that lies in the clone.
            r"dagster - WARNING - Found a dagster instance configuration value \(dagster\.yaml\)",
            # The first start of an instance.
            r"EventLogConsumerDaemon - WARNING - No cursor for event type",
            r"AssetDaemon - INFO - Renaming any states corresponding to the legacy default name",
            # A look that leads to nothing.
            r"SensorDaemon - INFO - Checking for new runs for sensor",
            r"SensorDaemon - INFO - Sensor \S+ skipped",
            r"AssetDaemon - INFO - Checking \d+ assets/checks",
            r"AssetDaemon - INFO - (Prefetching|Done prefetching) asset records",
            r"AssetDaemon - INFO - Tick produced 0 runs",
            r"AssetDaemon - INFO - Adding \d+ asset evaluations",
            r"AssetDaemon - INFO - Submitting 0 runs",
            r"AssetDaemon - INFO - Finished auto-materialization tick",
        )
    )
)
# `dg dev` is the newer name; it wants a project that is installed in its environment.
SUPERSEDED = "ignore:Function `dev_command` is superseded"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def dev(port: int) -> int:
    """Run the UI and the daemon on 127.0.0.1 until interrupted; the exit status is that of `dagster dev`.

    Raises `UsageError` where another program listens on the port: `dagster dev` would start a daemon all the
    same, beside that of another UI.
    """
    _look_at(port)
    open_instance().dispose()  # its databases are there before two processes of Dagster open them at once
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", HOST, "-p", str(port)],
        cwd=REPOSITORY,
        env={UI_VARIABLE: f"http://{HOST}:{port}", **os.environ, "PYTHONWARNINGS": _warnings()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a terminal's Ctrl-C would reach it twice
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
    for line in process.stdout:
        if is_worth_showing(line):
            print(line, end="", flush=True)
    return process.wait()


def _look_at(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just ended is no other
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"{HOST}:{port} cannot be listened on: {error.strerror}; end the program that does "
                "(another `make dev`?), or name another port (`make dev PORT=3001`)"
            ) from error


def is_worth_showing(line: str) -> bool:
    """Whether a line of `dagster dev` says more than that nothing happened."""
    return not QUIET.search(COLOURS.sub("", line))


def _warnings() -> str:
    return ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), SUPERSEDED)))
