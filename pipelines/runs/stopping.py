"""Stopping the runs of experiments, wherever they wait or work, and what they have saved."""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import BACKFILL_ID_TAG, GRPC_INFO_TAG

from assets.factory import DECLARATIONS
from pipelines.lost_runs import HOST_TAG, end_lost_backfills, worker_pid
from pipelines.reasons import INTERRUPTED, reasons
from pipelines.runs.records import records_of

LOOK_SECONDS = 1.0
# A training that is given up ends in seconds; what takes longer is a checkpoint to a slow store.
PATIENCE_SECONDS = 300.0


@dataclass
class Stopped:
    """What became of each experiment's run, in words: of those that ended, and of those that go on. `notes`
    are about backfills."""

    ended: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def stop(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    names: list[str],
    *,
    patience: float = PATIENCE_SECONDS,
    emit: Callable[[str], None] = lambda line: None,
) -> Stopped:
    """Stop the runs of these experiments that wait or work, and wait until they have ended.

    A run of the daemon is canceled as by *Terminate*; a backfill of the command line on this host is
    interrupted as by Ctrl-C, as a whole. A backfill of the UI of which every experiment is chosen is
    canceled, so that it starts no more of them.
    """
    end_lost_backfills(instance)
    result = Stopped(notes=_stop_backfills(instance, definitions, set(names)))
    asked: dict[str, str | None] = {}  # by run: that it was asked to stop, or why it could not be
    signalled: set[int] = set()
    until = time.monotonic() + patience
    while found := list(records_of(instance, "experiments", names, NOT_FINISHED_STATUSES)):
        for name, record in found:
            run = record.dagster_run
            if run.run_id not in asked:
                emit(f"stopping {name}")
            if asked.get(run.run_id, "new") is not None:
                asked[run.run_id] = _ask(instance, run, signalled)
        if time.monotonic() > until:
            for name, record in found:
                result.left[name] = asked[record.dagster_run.run_id] or "it has not ended yet"
            break
        time.sleep(LOOK_SECONDS)
    for run in (instance.get_run_by_id(run_id) for run_id in asked):
        if run and run.is_finished:
            result.ended[run.tags["dagster/partition"]] = _in_words(instance, run)
    return result


# --- inside -----------------------------------------------------------------------------------------------


def _ask(instance: dg.DagsterInstance, run: dg.DagsterRun, signalled: set[int]) -> str | None:
    """Ask a run to stop; None, or why it could not be asked now. `signalled` processes are not interrupted
    twice: at a second signal they would not save."""
    if run.status == dg.DagsterRunStatus.CANCELING:
        return None
    if run.status == dg.DagsterRunStatus.QUEUED or GRPC_INFO_TAG in run.tags:
        try:
            return None if instance.run_coordinator.cancel_run(run.run_id) else "Dagster could not cancel it"
        except DagsterUserCodeUnreachableError:
            return "its code server is out of reach"
    if run.tags.get(HOST_TAG) != socket.gethostname():
        return f"it runs on {run.tags.get(HOST_TAG, 'an unknown host')}: stop it there"
    pid = worker_pid(instance, run)
    if pid is None:
        return "its process is not known yet"
    if pid not in signalled:
        signalled.add(pid)
        os.kill(pid, signal.SIGINT)
    return None


def _stop_backfills(instance: dg.DagsterInstance, definitions: dg.Definitions, names: set[str]) -> list[str]:
    """Cancel the backfills of the UI that are about nothing but `names`; say which go on with some."""
    notes = []
    for backfill in instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])):
        about = _experiments_of(backfill, definitions)
        if not about & names:
            continue
        if about <= names:
            instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))
            notes.append(f"backfill {backfill.backfill_id} is canceled")
            continue
        begun = {
            name
            for name, record in records_of(instance, "experiments", about)
            if record.dagster_run.tags.get(BACKFILL_ID_TAG) == backfill.backfill_id
        }
        if to_come := sorted(about & names - begun):
            notes.append(
                f"backfill {backfill.backfill_id} goes on with {len(about - names):,} others and will yet "
                f"start {', '.join(to_come)}: cancel it in the UI, or stop these again once they run"
            )
    return notes


def _experiments_of(backfill: PartitionBackfill, definitions: dg.Definitions) -> set[str]:
    graph = definitions.get_repository_def().asset_graph
    if not backfill.is_asset_backfill:
        return set(backfill.partition_names or ())
    experiments = {name for name, one in DECLARATIONS.items() if one.partitions == "experiments"}
    target = backfill.get_asset_backfill_data(graph).target_subset
    return {
        one.partition_key
        for one in target.iterate_asset_partitions()
        if one.asset_key.to_user_string() in experiments and one.partition_key
    }


def _in_words(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    if run.is_success:
        return "had come to its end"
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    told = [reason.replace(INTERRUPTED, "") for reason in reasons(event.dagster_event for event in events)]
    if told:
        return "; ".join(told)
    begun = instance.get_run_stats(run.run_id).start_time
    return "stopped; no step was at work" if begun else "had not begun"
