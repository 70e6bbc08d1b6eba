"""What Dagster has recorded of old runs, removed: its database grows by megabytes a training.

Artefacts are in the store, and stay. So do the runs with the last materialisation of a partition, which would
count as missing without it and be asked for again; they lose what was observed while they ran, the pictures
that take the most room. The results of checks stay.
"""

import datetime
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from gan_core.config.ages import parse_age, shown_age

PRUNE_JOB = "prune_history"
OP = "remove_old_runs"
AT_ONCE = 200


@dataclass(frozen=True)
class Pruned:
    """How many runs were (or would be) removed, and how many as old were kept as an asset's last word."""

    removed: int
    kept: int

    @property
    def text(self) -> str:
        kept = f"; {self.kept:,} as old stay, as they made what assets are today" if self.kept else ""
        return f"{self.removed:,} runs{kept}"


def prune(instance: dg.DagsterInstance, older_than: datetime.timedelta, *, dry_run: bool = False) -> Pruned:
    """Remove the runs that ended longer ago, with their events and captured output.

    A run that has not ended is none of them. Interrupted, it has removed some; the next one goes on.
    """
    before = datetime.datetime.now(datetime.UTC) - older_than
    needed = _last_words(instance)
    removed = kept = 0
    for run_id in list(_ended_before(instance, before)):
        stays = run_id in needed
        kept, removed = kept + stays, removed + (not stays)
        if not dry_run:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            (_remove_observations if stays else _remove)(instance, run_id)
    return Pruned(removed, kept)


def _remove(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.delete_run(run_id)
    storage = instance.event_log_storage
    if type(storage) is SqliteEventLogStorage:  # which has a file a run, and leaves it empty
        shard = storage.path_for_shard(run_id)
        for path in (shard, f"{shard}-wal", f"{shard}-shm"):
            Path(path).unlink(missing_ok=True)


def _remove_observations(instance: dg.DagsterInstance, run_id: str) -> None:
    """Dagster itself removes all events of a run, or none."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return
    events = SqlEventLogStorageTable
    observed = (events.c.run_id == run_id) & (
        events.c.dagster_event_type == dg.DagsterEventType.ASSET_OBSERVATION.value
    )
    for connect in (functools.partial(storage.run_connection, run_id), storage.index_connection):
        with connect() as connection:
            connection.execute(events.delete().where(observed))


def prune_config(older_than: datetime.timedelta) -> dict[str, Any]:
    """The run configuration of the job."""
    return {"ops": {OP: {"config": {"older_than": shown_age(older_than)}}}}


class PruneConfig(dg.Config):
    """Run configuration of `prune_history`."""

    older_than: str
    """Such as `30d`: runs that ended longer ago are removed."""


@dg.op(name=OP)
def remove_old_runs(context: dg.OpExecutionContext, config: PruneConfig) -> None:
    """Remove what Dagster has recorded of runs that ended longer ago than `older_than`."""
    began = time.monotonic()
    pruned = prune(context.instance, parse_age(config.older_than))
    context.log.info(f"removed {pruned.text}, in {time.monotonic() - began:.0f} s")


@dg.job(name=PRUNE_JOB, description="Removes what Dagster has recorded of old runs; artefacts stay.")
def prune_history():
    remove_old_runs()


def _ended_before(instance: dg.DagsterInstance, before: datetime.datetime) -> Iterator[str]:
    """The ids of ended runs, page by page, the newest first."""
    cursor = None
    while True:
        # What changed last before then has ended before then.
        wanted = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before)
        page = instance.get_run_records(wanted, limit=AT_ONCE, cursor=cursor)
        yield from (record.dagster_run.run_id for record in page)
        if len(page) < AT_ONCE:
            return
        cursor = page[-1].dagster_run.run_id


def _last_words(instance: dg.DagsterInstance) -> set[str]:
    """The runs with the last materialisation of an asset or a partition."""
    storage = instance.event_log_storage
    found: set[str] = set()
    for record in storage.get_asset_records():
        key, entry = record.asset_entry.asset_key, record.asset_entry
        if entry.last_run_id:
            found.add(entry.last_run_id)
        newest = storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = list(newest.values())
        for start in range(0, len(ids), AT_ONCE):
            wanted = dg.AssetRecordsFilter(key, storage_ids=ids[start : start + AT_ONCE])
            found |= {one.run_id for one in instance.fetch_materializations(wanted, limit=AT_ONCE).records}
    return found
