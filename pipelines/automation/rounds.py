"""A round: the runs that one tick of a schedule has led to, with those that other runs of it have led to.

A run knows its round by two tags, which its retries inherit.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG, WILL_RETRY_TAG

from gan_core.config import Configs
from pipelines.jobs import DATASET_JOB

SCHEDULE_TAG = "gan-pipelines/schedule"
TICK_TAG = "gan-pipelines/tick"
# How long after the last run's end what should follow it, a retry or an experiment, is waited for. The daemon
# takes half a minute.
SETTLE_SECONDS = 600


def tags_of_round(schedule: str, tick: str) -> dict[str, str]:
    return {SCHEDULE_TAG: schedule, TICK_TAG: tick}


def round_of(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """(schedule, tick) of a run's tags; None of one that no schedule has led to."""
    return (tags[SCHEDULE_TAG], tags[TICK_TAG]) if {SCHEDULE_TAG, TICK_TAG} <= set(tags) else None


@dataclass(frozen=True)
class Round:
    """`runs`: of each run the last attempt, by partition. `waited_for`: the experiments whose turn comes, or
    would have come, without a run yet."""

    runs: Mapping[str, RunRecord]
    waited_for: tuple[str, ...]

    def in_progress(self, now: float) -> bool:
        """Whether a run of it goes on, waits, or is still to come."""
        states = [record.dagster_run for record in self.runs.values()]
        if any(run.status not in FINISHED_STATUSES for run in states):
            return True
        to_come = self.waited_for or any(_will_be_retried(run) for run in states)
        return bool(to_come) and now - self.ended_at < SETTLE_SECONDS

    @property
    def ended_at(self) -> float:
        """When its last run ended, in seconds since 1970."""
        return max((_end(record) for record in self.runs.values()), default=0)

    @property
    def succeeded(self) -> list[str]:
        return [name for name, record in self.runs.items() if record.dagster_run.is_success]

    @property
    def failed(self) -> list[str]:
        """With those that were cancelled."""
        return [name for name in self.runs if name not in self.succeeded]


def read_round(instance: dg.DagsterInstance, configs: Configs, schedule: str, tick: str) -> Round:
    """What has become of a tick so far."""
    records = instance.get_run_records(dg.RunsFilter(tags=tags_of_round(schedule, tick)))
    runs: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda record: record.create_timestamp):
        runs[_name(record.dagster_run)] = record
    return Round(runs, tuple(name for name in _follow(configs, schedule, runs) if name not in runs))


def is_in_progress(instance: dg.DagsterInstance, configs: Configs, schedule: str) -> bool:
    """Whether a round of the schedule goes on."""
    of_schedule = {SCHEDULE_TAG: schedule}
    if instance.get_runs(dg.RunsFilter(tags=of_schedule, statuses=NOT_FINISHED_STATUSES), limit=1):
        return True
    newest = instance.get_runs(dg.RunsFilter(tags=of_schedule), limit=1)
    return any(
        read_round(instance, configs, schedule, run.tags[TICK_TAG]).in_progress(time.time())
        for run in newest
        if TICK_TAG in run.tags
    )


def _follow(configs: Configs, schedule: str, runs: Mapping[str, RunRecord]) -> list[str]:
    """The experiments that follow the datasets of a round that are ready."""
    found = configs.schedules.get(schedule)
    if found is None or found.does != "train":
        return []
    ready = {
        record.dagster_run.tags.get(PARTITION_NAME_TAG)
        for record in runs.values()
        if record.dagster_run.job_name == DATASET_JOB and record.dagster_run.is_success
    }
    return [item.name for item in found.chosen(configs.experiments.values()) if item.dataset in ready]


def _name(run: dg.DagsterRun) -> str:
    """The partition: of a dataset with the word, as an experiment may be called the same."""
    partition = run.tags.get(PARTITION_NAME_TAG, run.job_name)
    return f"dataset {partition}" if run.job_name == DATASET_JOB else partition


def _will_be_retried(run: dg.DagsterRun) -> bool:
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(WILL_RETRY_TAG) == "true"


def _end(record: RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()
