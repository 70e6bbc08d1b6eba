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


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    workers = [(match, event) for event in events if (match := STARTED.match(event.message))]
    if not workers:
        return False
    match, event = workers[-1]
    try:
        process = psutil.Process(int(match[1]))
        # One that began after the event has only been given the same number; starts are counted from a
        # boot time in whole seconds.
        ended = process.status() == psutil.STATUS_ZOMBIE or process.create_time() > event.timestamp + 2
    except psutil.NoSuchProcess:
        ended = True
    # It may have ended well between the two looks.
    return ended and instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
