"""Which experiments have failed, by what Dagster has recorded."""

import dagster as dg
import pytest

from pipelines.jobs import DATASET_JOB, EXPERIMENT_JOB
from pipelines.runs.records import failed_experiments, newest_runs
from tests.small_project import EXPERIMENT

FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


def cancel(instance, run):
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)


def failed(bench, instance, *names: str) -> list[str]:
    return failed_experiments(instance, bench.configs, names or ("other", "plain"))


def test_the_newest_run_counts_and_a_canceled_one_has_failed(bench, instance):
    assert failed(bench, instance) == []
    bench.run(instance, EXPERIMENT_JOB, "plain", FAILURE)
    cancel(instance, bench.run(instance, EXPERIMENT_JOB, "other", dg.DagsterRunStatus.STARTED))
    assert failed(bench, instance) == ["other", "plain"] and failed(bench, instance, "plain") == ["plain"]
    bench.run(instance, EXPERIMENT_JOB, "plain")
    assert failed(bench, instance) == ["other"]
    bench.run(instance, EXPERIMENT_JOB, "other", dg.DagsterRunStatus.STARTED)
    assert failed(bench, instance) == []


def test_an_experiment_has_failed_with_its_dataset_until_it_ran_after_that(bench, instance):
    bench.run(instance, EXPERIMENT_JOB, "other")
    bench.run(instance, DATASET_JOB, "few-digits", FAILURE)
    bench.run(instance, EXPERIMENT_JOB, "plain")
    assert failed(bench, instance) == ["other"]
    bench.run(instance, DATASET_JOB, "few-digits")
    assert failed(bench, instance) == []


def test_a_run_of_a_dataset_of_the_same_name_is_none_of_an_experiment(bench, instance):
    bench.write("experiments", {**EXPERIMENT, "name": "few-digits"})
    bench.run(instance, DATASET_JOB, "few-digits")
    assert newest_runs(instance, "experiments", ["few-digits"]) == {}
    (name,) = newest_runs(instance, "datasets", ["few-digits"])
    assert name == "few-digits"


@pytest.mark.parametrize(("assets", "found"), [(["samples"], ["plain"]), (["champion"], [])])
def test_a_run_of_some_assets_counts_by_these(bench, instance, assets, found):
    job = bench.definitions.resolve_implicit_global_asset_job_def()
    instance.create_run_for_job(
        job, tags={"dagster/partition": "plain"}, asset_selection=frozenset(map(dg.AssetKey, assets))
    )
    assert list(newest_runs(instance, "experiments", ["plain"])) == found


def test_more_names_than_one_query_takes(bench, instance):
    bench.run(instance, EXPERIMENT_JOB, "plain", FAILURE)
    bench.run(instance, EXPERIMENT_JOB, "plain", SUCCESS)
    names = [f"name-{number}" for number in range(1200)]
    found = newest_runs(instance, "experiments", [*names, "plain"])
    assert found["plain"].dagster_run.is_success and len(found) == 1
