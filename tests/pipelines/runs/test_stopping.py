"""Stopping runs by experiment: those in the queue, those on the command line, and backfills of the UI."""

import socket
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import BACKFILL_ID_TAG

from pipelines.jobs import EXPERIMENT_JOB
from pipelines.lost_runs import HOST_TAG
from pipelines.runs.stopping import stop
from pipelines.timeline import shown_in_timeline

STARTED, SUCCESS = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS
# Ends at SIGINT with what it then writes, as a training does; at a second one without.
WORKER = """
import signal, sys, time
count = 0
def stop(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, stop)
print("ready", flush=True)
while not count:
    time.sleep(0.05)
time.sleep(2.5)
sys.exit(count)
"""


def queued(bench, instance, name: str, **tags: str) -> dg.DagsterRun:
    job = bench.definitions.resolve_job_def(EXPERIMENT_JOB)
    with shown_in_timeline(instance, EXPERIMENT_JOB):
        return instance.create_run_for_job(
            job, tags={"dagster/partition": name, **tags}, status=dg.DagsterRunStatus.QUEUED
        )


def backfill(instance, *names: str) -> PartitionBackfill:
    made = PartitionBackfill(
        backfill_id="-".join(names),
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=time.time(),
        partition_names=list(names),
    )
    instance.add_backfill(made)
    return made


def test_what_waits_is_taken_out_of_the_queue_and_the_others_stay(bench, instance):
    plain, other = queued(bench, instance, "plain"), queued(bench, instance, "other")
    stopped = stop(instance, bench.definitions, ["plain"])
    assert stopped.ended == {"plain": "had not begun"} and not stopped.left
    assert instance.get_run_by_id(plain.run_id).status == dg.DagsterRunStatus.CANCELED
    assert instance.get_run_by_id(other.run_id).status == dg.DagsterRunStatus.QUEUED
    assert stop(instance, bench.definitions, ["plain"]).ended == {}


def test_the_process_of_a_backfill_on_the_command_line_is_interrupted_once(bench, instance):
    process = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        run = bench.run(instance, EXPERIMENT_JOB, "plain", STARTED, **{HOST_TAG: socket.gethostname()})
        instance.report_engine_event(f"Executing steps in process (pid: {process.pid})", run)
        stopped = stop(instance, bench.definitions, ["plain"], patience=2.0)
        assert stopped.left == {"plain": "it has not ended yet"}
        assert process.wait(60) == 1  # of so many signals
    finally:
        process.kill()


def test_what_runs_on_another_host_is_named(bench, instance):
    bench.run(instance, EXPERIMENT_JOB, "plain", STARTED, **{HOST_TAG: "elsewhere"})
    stopped = stop(instance, bench.definitions, ["plain"], patience=0.0)
    assert stopped.left == {"plain": "it runs on elsewhere: stop it there"}


@pytest.mark.parametrize(
    ("names", "status", "note"),
    [
        (["other", "plain"], BulkActionStatus.CANCELING, "backfill other-plain is canceled"),
        (["other"], BulkActionStatus.REQUESTED, "goes on with 1 others and will yet start other"),
    ],
)
def test_a_backfill_is_canceled_as_a_whole_or_said_to_go_on(bench, instance, names, status, note):
    made = backfill(instance, "other", "plain")
    stopped = stop(instance, bench.definitions, names)
    assert note in stopped.notes[0] and len(stopped.notes) == 1
    assert instance.get_backfill(made.backfill_id).status == status


def test_of_a_backfill_nothing_is_said_that_is_begun(bench, instance):
    made = backfill(instance, "other", "plain")
    queued(bench, instance, "other", **{BACKFILL_ID_TAG: made.backfill_id})
    assert stop(instance, bench.definitions, ["other"]).notes == []
