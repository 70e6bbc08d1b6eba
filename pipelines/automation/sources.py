"""The sensor that sees when a source changed, and has its images looked at.

It starts `raw_images` alone, which reads what changed. What stands on it is made again by `follow_new_data`,
if the content is another one; where it came back identical, nothing is.
"""

import json
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from gan_core.config import Configs, Dataset
from gan_core.errors import GanError
from gan_core.store import default_store
from pipelines.jobs import DATASET_JOB

LOOK_SECONDS = 60
ENOUGH_SECONDS = 40  # of a look, which must be over within a minute
AT_ONCE = 8
RAW = "raw_images"


@dataclass
class Seen:
    """By dataset: the state that `raw_images` was asked for, and that of the last look."""

    asked: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)


def sources_sensor(configs: Configs, jobs: dict[str, object]) -> dg.SensorDefinition:
    @dg.sensor(
        name="sources",
        job=jobs[DATASET_JOB],
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Looks whether the sources of the datasets that were made have changed (sizes, times, ETags), "
            "and has raw_images read those that did, once two looks have found the same."
        ),
    )
    def sources(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        made = {name: configs.datasets[name] for name in default_store().all_current(RAW, configs.datasets)}
        seen = Seen(**json.loads(context.cursor or "{}"))
        states, problems = look_at(made)
        requests = [_request(name, states[name]) for name in _changed(context.instance, seen, states)]
        told = [f"{len(states):,} sources looked at", *problems]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason("; ".join(told)),
            cursor=json.dumps(asdict(seen)),
        )

    return sources


def look_at(datasets: dict[str, Dataset]) -> tuple[dict[str, str], list[str]]:
    """The states of their sources, and what kept one from being known."""
    from gan_core.data.changes import source_state

    pool = ThreadPoolExecutor(AT_ONCE)
    futures = {name: pool.submit(source_state, dataset) for name, dataset in datasets.items()}
    wait(futures.values(), ENOUGH_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    states, problems = {}, []
    for name, future in futures.items():
        if not future.done() or future.cancelled():
            problems.append(f"{name}: has not answered yet")
            continue
        try:
            if (state := future.result()) is not None:
                states[name] = state
        except GanError as error:
            problems.append(f"{name}: {error}")
    return states, problems


def _changed(instance: dg.DagsterInstance, seen: Seen, states: dict[str, str]) -> list[str]:
    """Those to be read now, which are then noted as asked for: others than they were, and settled, so that
    what is still being copied is not read."""
    found = []
    for name, state in states.items():
        settled = seen.last.get(name) == state
        seen.last[name] = state
        if state != seen.asked.get(name) and settled and not _is_being_made(instance, name):
            seen.asked[name] = state
            found.append(name)
    return found


def _is_being_made(instance: dg.DagsterInstance, dataset: str) -> bool:
    wanted = dg.RunsFilter(
        job_name=DATASET_JOB, tags={PARTITION_NAME_TAG: dataset}, statuses=NOT_FINISHED_STATUSES
    )
    return bool(instance.get_runs(wanted, limit=1))


def _request(dataset: str, state: str) -> dg.RunRequest:
    return dg.RunRequest(
        partition_key=dataset,
        asset_selection=[dg.AssetKey(RAW)],
        tags={"gan-pipelines/source": state[:12]},
    )
