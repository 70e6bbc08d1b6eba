"""The job `choose_experiments` and the sensor that launches what it has chosen."""

import dagster as dg
import pytest

from pipelines.configurations import ASSET
from pipelines.jobs import DATASET_JOB, EXPERIMENT_JOB
from pipelines.runs.choosing import CHOICE_TAG, CHOOSE_JOB
from tests.small_project import DATASET, EXPERIMENT


def choose(bench, instance, **config) -> dg.ExecuteInProcessResult:
    return bench.definitions.resolve_job_def(CHOOSE_JOB).execute_in_process(
        instance=instance, run_config={"ops": {"choose": {"config": config}}}, raise_on_error=False
    )


def shown(instance) -> dict:
    (record,) = instance.fetch_observations(ASSET, limit=1).records
    return record.asset_observation.metadata


def requests(bench, instance, run: dg.DagsterRun) -> list[dg.RunRequest]:
    return bench.requests(instance, "chosen_experiments", run)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ["other", "plain"]),
        ({"experiments": ["pl*"]}, ["plain"]),
        ({"tags": ["draft"]}, ["other"]),
        ({"dataset": "few-digits", "tags": ["seed=0"]}, ["plain"]),
        ({"failed": True}, []),
    ],
)
def test_what_is_chosen_is_shown_with_its_plan(bench, instance, config, names):
    assert choose(bench, instance, **config).success
    metadata = shown(instance)
    assert metadata["chosen"].value == names and metadata["launched"].value is False
    plan = metadata["plan"].value
    assert all(f"| {name} " in plan for name in names) and ("never trained" in plan) == bool(names)
    assert metadata["in_short"].value.startswith(f"{len(names)} to train" if names else "nothing to train")


def test_a_wrong_choice_is_one_line(bench, instance):
    (event,) = choose(bench, instance, dataset="nope").get_step_failure_events() or [None]
    assert "--dataset knows no `nope`" in event.step_failure_data.error.cause.message


def test_what_is_shown_is_launched_its_dataset_first(bench, instance):
    bench.write("datasets", {**DATASET, "name": "more-digits"})
    bench.write("experiments", {**EXPERIMENT, "name": "third", "dataset": "more-digits"})
    run = choose(bench, instance, experiments=["plain", "third"], launch=True).dagster_run
    asked = requests(bench, instance, run)
    assert [(one.job_name, one.partition_key) for one in asked] == [
        (DATASET_JOB, "few-digits"),
        (DATASET_JOB, "more-digits"),
    ]
    bench.run(instance, EXPERIMENT_JOB, "plain", dg.DagsterRunStatus.FAILURE)  # changes nothing of it
    prepared = bench.run(instance, DATASET_JOB, "few-digits", **asked[0].tags)
    (request,) = requests(bench, instance, prepared)
    assert (request.job_name, request.partition_key) == (EXPERIMENT_JOB, "plain")
    assert request.tags == {CHOICE_TAG: run.run_id}


def test_what_is_only_shown_and_a_dataset_that_others_prepared_launch_nothing(bench, instance):
    assert requests(bench, instance, choose(bench, instance).dagster_run) == []
    assert requests(bench, instance, bench.run(instance, DATASET_JOB, "few-digits")) == []


def test_only_what_failed_is_chosen(bench, instance):
    bench.run(instance, EXPERIMENT_JOB, "plain", dg.DagsterRunStatus.FAILURE)
    bench.run(instance, EXPERIMENT_JOB, "other")
    choose(bench, instance, failed=True)
    assert shown(instance)["chosen"].value == ["plain"]
