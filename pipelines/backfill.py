"""A backfill over experiments in this process, without a daemon: what `make demo` and `make backfill` run.

Every run is recorded in the same instance that the UI shows. A configuration that fails does not stop the
others; the tables are made from those that succeeded.
"""

import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dagster as dg

from gan_core.config import Configs
from gan_core.planning.time_left import NO_PLAN, TimeLeft
from gan_core.progress import about
from pipelines.jobs import DATASET_JOB, EXPERIMENT_JOB, TABLES_JOB
from pipelines.lost_runs import HOST_TAG, end_lost_backfills
from pipelines.reasons import INTERRUPT_NAMES, causes, reasons
from pipelines.timeline import shown_in_timeline

BACKFILL_TAG = "gan-pipelines/backfill"


@dataclass
class BackfillResult:
    """Which experiments succeeded, and for the others the reason in one text each."""

    succeeded: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def backfill(
    definitions: dg.Definitions,
    configs: Configs,
    instance: dg.DagsterInstance,
    experiments: list[str],
    *,
    force: bool = False,
    planned: Mapping[str, float | None] = NO_PLAN,
    emit: Callable[[str], None] = lambda line: None,
) -> BackfillResult:
    """Prepare the datasets, run each experiment, then make the tables. `force` trains again what is there.

    `emit` gets a line before each experiment: which of how many it is, and about how long it and the others
    will take, by what was `planned` for each in seconds and by what those before it took.

    Raises `KeyboardInterrupt` once a run was interrupted: its training has then saved a checkpoint.
    """
    end_lost_backfills(instance)
    tags = {BACKFILL_TAG: uuid.uuid4().hex[:8], HOST_TAG: socket.gethostname()}
    runner = Runner(definitions, instance, tags)
    result = BackfillResult()
    broken: dict[str, str] = {}
    for dataset in sorted({configs.experiments[name].dataset for name in experiments}):
        failure = runner.run(DATASET_JOB, dataset)
        if failure:
            broken[dataset] = failure
    left = TimeLeft(experiments, planned)
    for number, name in enumerate(experiments, 1):
        emit(f"experiment {number:,} of {len(experiments):,} ({name}), {_in_words(left.seconds)}")
        began = time.monotonic()
        dataset = configs.experiments[name].dataset
        if dataset in broken:
            result.failed[name] = f"its dataset {dataset} failed: {broken[dataset]}"
        elif failure := runner.run(EXPERIMENT_JOB, name, force_steps=["trained_gan"] if force else []):
            result.failed[name] = failure
        else:
            result.succeeded.append(name)
        left.done(name, time.monotonic() - began)
    failure = runner.run(TABLES_JOB)
    if failure:
        result.failed["leaderboard and report"] = failure
    return result


def _in_words(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"about {about(seconds)} left"


@dataclass
class Runner:
    """Runs jobs in this process, each with these tags."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    tags: dict[str, str]

    def run(
        self,
        job: str,
        partition: str | None = None,
        force_steps: list[str] | None = None,
        assets: list[str] | None = None,
    ) -> str | None:
        """Run a job, or only these `assets` of it; None, or why it failed. Raises `KeyboardInterrupt` where
        it was interrupted."""
        config = {
            "ops": {step: {"config": {"force": True}} for step in force_steps or []},
            "loggers": {"console": {}},
        }
        with shown_in_timeline(self.instance, job):
            result = self.definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                partition_key=partition,
                asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
                tags=self.tags,
                run_config=config,
                raise_on_error=False,
            )
        if result.success:
            return None
        if _was_interrupted(result):
            raise KeyboardInterrupt
        return (
            "; ".join(reasons(result.get_step_failure_events()))
            or f"run {result.run_id} failed: see it in the UI"
        )


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Dagster turns Ctrl-C and SIGTERM into a failure of the step that was running."""
    return any(
        error.cls_name in INTERRUPT_NAMES
        for event in result.get_step_failure_events()
        for error in causes(event)
    )
