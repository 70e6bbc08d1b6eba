"""Runs whose worker is gone without anyone having noticed: marked as failed, so that they are retried.

Dagster's code server notices a run worker that dies. When the server dies with it (a reboot, the memory
killer, a container that was replaced), the run would be in progress for ever: run monitoring asks the
launchers for Docker, Kubernetes and ECS, but not the default one.
"""

import re
import socket

import dagster as dg
import psutil
from dagster._core.storage.tags import GRPC_INFO_TAG

STARTED = re.compile(r"(?:Started process for run|Executing steps in process) \(pid: (\d+)\)")
HOST_TAG = "gan-pipelines/host"
LOOK_SECONDS = 30


@dg.sensor(
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process is gone, so that they are retried from their checkpoint.",
)
def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Evaluated in the code server, which is on the machine where the default launcher's workers run."""
    in_progress = context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    lost = [run for run in in_progress if GRPC_INFO_TAG in run.tags and _is_lost(context.instance, run)]
    for run in lost:
        context.instance.report_run_failed(run, "The process of this run is gone without a word.")
    return dg.SkipReason(f"{len(in_progress)} runs in progress, {len(lost)} of them lost")


def end_lost_backfills(instance: dg.DagsterInstance) -> None:
    """End the runs of `python -m pipelines backfill` that were killed on this host.

    Their steps hold their slots in the pools, and the next backfill would wait for these for ever: there
    need not be a daemon that frees them.
    """
    in_progress = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={HOST_TAG: socket.gethostname()})
    for run in instance.get_runs(in_progress):
        if _is_lost(instance, run):
            instance.report_run_failed(run, "The process of this run is gone without a word.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def worker_pid(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The number of the process that a run's steps are in, or that starts them; None where it is not known,
    or has ended."""
    found = _worker(instance, run)
    return None if found is None or _has_ended(*found) else found[0]


def _worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """Its number, and when it was noted, in seconds since 1970."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    found = [(match, event) for event in events if (match := STARTED.match(event.message))]
    return (int(found[-1][0][1]), found[-1][1].timestamp) if found else None


def _has_ended(pid: int, noted: float) -> bool:
    try:
        process = psutil.Process(pid)
        # One that began after the event has only been given the same number; starts are counted from a
        # boot time in whole seconds.
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > noted + 2
    except psutil.NoSuchProcess:
        return True


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    found = _worker(instance, run)
    if found is None:
        return False
    # It may have ended well between the two looks.
    return _has_ended(*found) and instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
