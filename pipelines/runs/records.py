"""The runs of experiments and datasets, as Dagster has recorded them."""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG

from assets.describing import PartitionSet
from assets.factory import DECLARATIONS
from assets.jobs import JOB_OF_GROUP
from gan_core.config import Configs

# SQLite takes some thousands of values in one query.
NAMES_AT_ONCE = 500
NOT_SUCCEEDED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def records_of(
    instance: dg.DagsterInstance,
    kind: PartitionSet,
    names: Iterable[str],
    statuses: Sequence[dg.DagsterRunStatus] = (),
) -> Iterator[tuple[str, RunRecord]]:
    """The runs of these datasets or experiments, with their partitions, the oldest of each first; of one
    state where `statuses` are given. A run of any of its assets is one, whoever started it."""
    names = sorted(names)
    for start in range(0, len(names), NAMES_AT_ONCE):
        tags = {PARTITION_NAME_TAG: names[start : start + NAMES_AT_ONCE]}
        wanted = dg.RunsFilter(tags=tags, statuses=list(statuses))
        for record in instance.get_run_records(wanted, ascending=True):
            if _is_of(record.dagster_run, kind):
                yield record.dagster_run.tags[PARTITION_NAME_TAG], record


def newest_runs(
    instance: dg.DagsterInstance, kind: PartitionSet, names: Iterable[str]
) -> dict[str, RunRecord]:
    """The newest run of each of these partitions; nothing of one that never ran."""
    return dict(records_of(instance, kind, names))


def failed_experiments(instance: dg.DagsterInstance, configs: Configs, names: Iterable[str]) -> list[str]:
    """Those of `names` whose newest run failed or was canceled, or whose dataset's did after that run.

    One whose dataset failed has no run of its own: nothing could be begun. One that runs or waits has not
    failed, nor has one without a record.
    """
    names = list(names)
    runs = newest_runs(instance, "experiments", names)
    datasets = newest_runs(instance, "datasets", {configs.experiments[name].dataset for name in names})

    def failed(name: str) -> bool:
        own, dataset = runs.get(name), datasets.get(configs.experiments[name].dataset)
        if own and not own.dagster_run.is_finished:
            return False
        later = dataset and (own is None or dataset.create_timestamp > own.create_timestamp)
        return _not_succeeded(own) or bool(later and _not_succeeded(dataset))

    return [name for name in names if failed(name)]


def _not_succeeded(record: RunRecord | None) -> bool:
    return record is not None and record.dagster_run.status in NOT_SUCCEEDED


def _is_of(run: dg.DagsterRun, kind: PartitionSet) -> bool:
    """A dataset and an experiment may have the same name."""
    made = {key.to_user_string() for key in run.asset_selection or ()}
    of_kind = {name for name, declaration in DECLARATIONS.items() if declaration.group == kind}
    return run.job_name == JOB_OF_GROUP[kind] or bool(made & of_kind)
