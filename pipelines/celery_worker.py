"""What `celery --app pipelines.celery_worker worker` starts: a worker that makes one run at a time.

Dagster's own task makes the run within Celery's process, which may start no processes of its own as those of
the steps are. This one starts a process for the run, as Dagster's other launchers do.
"""

import ctypes
import os
import signal
import subprocess
import sys

from celery import Celery
from celery.signals import worker_process_init
from dagster._grpc.types import ExecuteRunArgs
from dagster_celery.config import DEFAULT_CONFIG, TASK_EXECUTE_JOB_NAME
from dagster_celery.make_app import make_app
from dagster_shared.serdes import serialize_value, unpack_value

BROKER = "GAN_CELERY_BROKER"


class LostRunError(Exception):
    """The process of a run ended without having said how the run ended."""


def build_app(broker: str) -> Celery:
    """The workers' end of the queue that `WatchedCeleryRunLauncher` writes to."""
    settings = {
        **DEFAULT_CONFIG,
        "worker_concurrency": 1,
        "broker_connection_retry_on_startup": True,
        "result_expires": None,  # else Celery forgets after a day that a run is at work
    }
    return make_app({"broker": broker, "backend": broker, "config_source": settings})


@worker_process_init.connect
def end_with_parent(**_: object) -> None:
    """Linux: this process is killed once its parent is gone; the steps of a run see that for themselves, and
    save what they have."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if BROKER not in os.environ:
    sys.exit(f"{BROKER} is not set: give the URL of Celery's broker, such as redis://:PASSWORD@HOST:6379/0")
app = build_app(os.environ[BROKER])


@app.task(name=TASK_EXECUTE_JOB_NAME, track_started=True)
def execute_job(execute_job_args_packed: dict) -> None:
    """Make one run. SIGTERM, which Celery sends for *Terminate*, interrupts it as Ctrl-C does.

    Raises `LostRunError` where its process was killed.
    """
    arguments = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(arguments)],
        preexec_fn=end_with_parent,
    )
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    if status := process.wait():
        raise LostRunError(f"the process of run {arguments.run_id} ended with status {status}")
