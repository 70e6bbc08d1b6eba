"""A backfill over experiments in this process, without a daemon: what `make demo` and `make backfill` run.

Every run is recorded in the same instance that the UI shows. A configuration that fails does not stop the
others; the tables are made from those that succeeded.
"""

import fnmatch
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

from gan_core.config import Configs, unknown
from gan_core.errors import ConfigError, GanError
from gan_core.progress import format_seconds
from pipelines.jobs import DATASET_JOB, EXPERIMENT_JOB, TABLES_JOB
from pipelines.lost_runs import HOST_TAG, end_lost_backfills
from pipelines.timeline import shown_in_timeline

OWN_ERRORS = {error.__name__ for error in GanError.__subclasses__()}
BACKFILL_TAG = "gan-pipelines/backfill"


@dataclass
class BackfillResult:
    """Which experiments succeeded, and for the others the reason in one text each."""

    succeeded: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def select_experiments(configs: Configs, patterns: list[str]) -> list[str]:
    """The experiments whose names match any of the shell-style `patterns`, in alphabetical order.

    Raises `ConfigError` for a pattern that matches nothing, with the mistake of a file that was left out.
    """
    selected: set[str] = set()
    for pattern in patterns:
        matches = fnmatch.filter(configs.experiments, pattern)
        if not matches:
            left_out = configs.left_out(pattern)
            raise ConfigError(left_out or unknown("no experiment matches", pattern, configs.experiments))
        selected.update(matches)
    return sorted(selected)


def backfill(
    definitions: dg.Definitions,
    configs: Configs,
    instance: dg.DagsterInstance,
    experiments: list[str],
    *,
    force: bool = False,
    emit: Callable[[str], None] = lambda line: None,
) -> BackfillResult:
    """Prepare the datasets, run each experiment, then make the tables. `force` trains again what is there.

    `emit` gets a line after each experiment: how many are done, and how long the others will take.

    Raises `KeyboardInterrupt` once a run was interrupted: its training has then saved a checkpoint.
    """
    end_lost_backfills(instance)
    tags = {BACKFILL_TAG: uuid.uuid4().hex[:8], HOST_TAG: socket.gethostname()}
    runner = _Runner(definitions, instance, tags)
    result = BackfillResult()
    broken: dict[str, str] = {}
    for dataset in sorted({configs.experiments[name].dataset for name in experiments}):
        failure = runner.run(DATASET_JOB, dataset)
        if failure:
            broken[dataset] = failure
    began = time.monotonic()
    for done, name in enumerate(experiments):
        if done:
            left = (time.monotonic() - began) / done * (len(experiments) - done)
            emit(f"{done:,} of {len(experiments):,} experiments done, about {format_seconds(left)} left")
        dataset = configs.experiments[name].dataset
        if dataset in broken:
            result.failed[name] = f"its dataset {dataset} failed: {broken[dataset]}"
            continue
        failure = runner.run(EXPERIMENT_JOB, name, force_steps=["trained_gan"] if force else [])
        if failure:
            result.failed[name] = failure
        else:
            result.succeeded.append(name)
    failure = runner.run(TABLES_JOB)
    if failure:
        result.failed["leaderboard and report"] = failure
    return result


@dataclass
class _Runner:
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    tags: dict[str, str]

    def run(self, job: str, partition: str | None = None, force_steps: list[str] | None = None) -> str | None:
        """Run a job in this process; None, or why it failed."""
        config = {
            "ops": {step: {"config": {"force": True}} for step in force_steps or []},
            "loggers": {"console": {}},
        }
        with shown_in_timeline(self.instance, job):
            result = self.definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                partition_key=partition,
                tags=self.tags,
                run_config=config,
                raise_on_error=False,
            )
        if result.success:
            return None
        if _was_interrupted(result):
            raise KeyboardInterrupt
        return "; ".join(_reasons(result)) or f"run {result.run_id} failed: see it in the UI"


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Dagster turns Ctrl-C and SIGTERM into a failure of the step that was running."""
    return any(
        error.cls_name in (dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__)
        for event in result.get_step_failure_events()
        for error in _causes(event)
    )


def _causes(event: dg.DagsterEvent) -> list:
    """The error of a failed step and what caused it, innermost last."""
    error, chain = event.step_failure_data.error, []
    while error:
        chain.append(error)
        error = error.cause
    return chain


def _reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    """Each failed step with why it failed: our own error where there is one, else the innermost cause."""
    reasons = []
    for event in result.get_step_failure_events():
        causes = _causes(event)
        told = next((cause for cause in causes if cause.cls_name in OWN_ERRORS), causes[-1])
        reasons.append(f"{event.step_key}: {told.message.strip()}")
    return reasons
