"""What the simulated queue is fed with, measured: runs that only hold a slot, by Dagster's real daemon.

    python -m benchmarks.run_queue_measured [--runs 20] [--slots 4] [--seconds 10] [--postgres URL]

Puts so many runs of one step that sleeps into the queue of a new instance, starts `dagster-daemon`, and
reads from the event log, once all have ended, how long the daemon took for each launch, a run to its step and
to its end, and how many rows and bytes a run leaves. Then the same case is simulated with these seconds
(`benchmarks.run_queue`), and both are printed as JSON. `--dequeue` measures what the daemon itself takes for
a launch, with a launcher that does nothing. `--postgres` names an empty database, else it is SQLite. Nothing
is left.
"""

import argparse
import contextlib
import functools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_shared.serdes import serialize_value

from benchmarks.run_queue import Farm, simulate

DEFINITIONS = """
import time
import dagster as dg

@dg.op(pool="gpu", config_schema={"seconds": float})
def hold(context):
    time.sleep(context.op_config["seconds"])

@dg.job
def sleeps():
    hold()

defs = dg.Definitions(jobs=[sleeps])
"""
PATIENCE_SECONDS = 3600
MOCKED = {"run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}}
EVENT = dg.DagsterEventType
MOMENTS = {
    "starting": EVENT.RUN_STARTING,
    "started": EVENT.RUN_START,
    "step began": EVENT.STEP_START,
    "step ended": EVENT.STEP_SUCCESS,
    "ended": EVENT.RUN_SUCCESS,
}


@contextlib.contextmanager
def new_instance(
    folder: Path, in_progress: int, slots: int, postgres: str | None, more: dict | None = None
) -> Iterator[dg.DagsterInstance]:
    """An instance with so many runs in progress, and so many slots in its pool."""
    settings = {
        **(more or {}),
        "telemetry": {"enabled": False},
        "concurrency": {
            "runs": {"max_concurrent_runs": in_progress},
            "pools": {"granularity": "op", "default_limit": slots},
        },
    }
    if postgres:
        settings["storage"] = {"postgres": {"postgres_url": postgres}}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    (folder / "definitions.py").write_text(DEFINITIONS)
    place = {"python_file": {"relative_path": "definitions.py", "location_name": "measured"}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [place]}))
    os.environ["DAGSTER_HOME"] = str(folder)
    with dg.DagsterInstance.get() as instance:
        yield instance


def put_into_queue(instance: dg.DagsterInstance, folder: Path, runs: int, seconds: float) -> None:
    """As many runs, as a backfill leaves them."""
    names: dict = {}
    exec(DEFINITIONS, names)  # the same text that the daemon loads
    (location,) = location_origins_from_yaml_paths([str(folder / "workspace.yaml")])
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), "sleeps")
    job = names["defs"].resolve_job_def("sleeps")
    create = functools.partial(instance.create_run_for_job, job, remote_job_origin=origin)
    for _ in range(runs):
        create(
            status=dg.DagsterRunStatus.QUEUED, run_config={"ops": {"hold": {"config": {"seconds": seconds}}}}
        )


def wait_for_all(instance: dg.DagsterInstance, runs: int, daemon: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while instance.get_runs_count(dg.RunsFilter(statuses=list(FINISHED_STATUSES))) < runs:
        if daemon.poll() is not None or time.monotonic() > until:
            raise RuntimeError(
                f"not all runs have ended; the daemon's last words:\n{log.read_text()[-2000:]}"
            )
        time.sleep(1)


def moments_of(instance: dg.DagsterInstance) -> list[dict[str, float]]:
    """When each run that succeeded was where, in seconds since 1970, by the event log."""
    found = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])):
        logs = [log for log in instance.all_logs(run.run_id) if log.dagster_event]
        events = {log.dagster_event.event_type: log.timestamp for log in logs}
        found.append({name: events[kind] for name, kind in MOMENTS.items()})
    return sorted(found, key=lambda one: one["starting"])


def rows_and_bytes(instance: dg.DagsterInstance) -> dict[str, float]:
    """What a run of one step leaves in the event log, on average."""
    runs = instance.get_runs()
    events = [event for run in runs for event in instance.all_logs(run.run_id)]
    size = sum(len(serialize_value(event)) for event in events)
    return {"rows": len(events) / len(runs), "bytes": round(size / len(runs))}


def measured(moments: list[dict[str, float]]) -> dict[str, float]:
    """Means over the runs, but for `all`. A launch ends when the run's process has loaded its definitions:
    until then the daemon waits for it, and launches no other."""

    def between(first: str, last: str) -> float:
        return round(statistics.fmean(one[last] - one[first] for one in moments), 2)

    return {
        "succeeded": len(moments),
        "launch": between("starting", "started"),
        "start": between("started", "step began"),
        "step": between("step began", "step ended"),
        "end": between("step ended", "ended"),
        "all": round(max(one["ended"] for one in moments) - moments[0]["starting"], 1),
    }


def seconds_of_dequeuing(runs: int, postgres: str | None) -> dict[str, float]:
    """What the daemon itself takes for each launch, by the clock and of processor, where the launcher does
    nothing: to look at the queue, to count slots, and to write what becomes of the run."""
    with tempfile.TemporaryDirectory(prefix="run-queue-") as name:
        folder = Path(name)
        with new_instance(folder, runs, runs, postgres, MOCKED) as instance:
            put_into_queue(instance, folder, runs, 0.0)
            target = WorkspaceFileTarget([str(folder / "workspace.yaml")])
            with WorkspaceProcessContext(instance, target) as context:
                daemon = QueuedRunCoordinatorDaemon(interval_seconds=5)
                began, busy = time.perf_counter(), time.process_time()
                with daemon:
                    launched = len(list(daemon.run_iteration(context)))
                clock, processor = time.perf_counter() - began, time.process_time() - busy
            left = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    if left:
        raise RuntimeError(f"{left} of {runs} runs were not launched")
    return {"of": launched, "clock": round(clock / runs, 4), "of processor": round(processor / runs, 4)}


def run_for_real(runs: int, slots: int, in_progress: int, seconds: float, postgres: str | None) -> dict:
    """What was measured of so many runs."""
    with tempfile.TemporaryDirectory(prefix="run-queue-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with new_instance(folder, in_progress, slots, postgres) as instance:
            began = time.perf_counter()
            put_into_queue(instance, folder, runs, seconds)
            created = runs / (time.perf_counter() - began)
            log = folder / "daemon.log"
            with log.open("wb") as file:
                daemon = subprocess.Popen(
                    [Path(sys.executable).with_name("dagster-daemon"), "run", "-w", "workspace.yaml"],
                    cwd=folder,
                    stdout=file,
                    stderr=file,
                )
            try:
                wait_for_all(instance, runs, daemon, log)
            finally:
                daemon.send_signal(signal.SIGINT)
                daemon.wait(120)
            return {
                **measured(moments_of(instance)),
                "created a second": round(created, 1),
                "event log, of a run": rows_and_bytes(instance),
            }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--in-progress", type=int, default=None, help="by default as many as slots")
    parser.add_argument("--seconds", type=float, default=10.0, help="that each run holds its slot")
    parser.add_argument("--postgres", help="the URL of an empty database")
    parser.add_argument("--dequeue", action="store_true", help="only what the daemon takes for a launch")
    options = parser.parse_args()
    in_progress = options.in_progress or options.slots
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the daemon ends with this process
    load = os.getloadavg()
    if options.dequeue:
        found = seconds_of_dequeuing(options.runs, options.postgres)
        print(json.dumps({"load": load, "seconds of a launch": found}, indent=1))
        return
    found = run_for_real(options.runs, options.slots, in_progress, options.seconds, options.postgres)
    farm = Farm(
        found["succeeded"],
        options.slots,
        (found["step"],),
        in_progress,
        launch=found["launch"],
        start=found["start"],
        end=found["end"],
    )
    simulated = {"all": round(simulate(farm).seconds, 1)}
    print(json.dumps({"load": load, "measured": found, "simulated": simulated}, indent=1))


if __name__ == "__main__":
    main()
