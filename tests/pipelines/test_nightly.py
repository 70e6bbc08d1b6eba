"""The nightly schedule: the data first, then the experiments that the YAML names."""

import datetime

import dagster as dg
import pytest

from gan_core.config import Nightly, load_configs
from gan_core.errors import ConfigError
from pipelines.definitions import build_definitions
from pipelines.nightly import NIGHT_TAG, nightly_schedule


def definitions(experiments: tuple[str, ...]) -> dg.Definitions:
    configs = load_configs().model_copy(update={"nightly": Nightly(experiments=experiments)})
    return build_definitions(configs)


def evaluate(experiments: tuple[str, ...]):
    loaded = definitions(experiments)
    schedule = loaded.resolve_schedule_def("nightly_retraining")
    night = datetime.datetime(2026, 1, 2, 2, 0, tzinfo=datetime.UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=night,
            repository_def=loaded.get_repository_def(),
        )
        return schedule.evaluate_tick(context)


def test_it_is_off_until_switched_on():
    schedule = definitions(("demo-dcgan",)).resolve_schedule_def("nightly_retraining")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_it_refreshes_each_dataset_once():
    requests = evaluate(("demo-dcgan", "demo-acgan")).run_requests
    assert [(r.partition_key, r.tags[NIGHT_TAG]) for r in requests] == [("digits", "2026-01-02T02:00")]


def test_a_wrong_cron_names_its_file_and_what_would_be_right():
    configs = load_configs().model_copy(update={"nightly": Nightly(cron="garbage")})
    with pytest.raises(ConfigError, match='nightly.yaml: cron is `garbage`.* such as "0 2'):
        nightly_schedule(configs)


def test_a_name_that_there_is_no_experiment_of_is_passed_over():
    requests = evaluate(("demo-dcgan", "was-renamed")).run_requests
    assert [request.partition_key for request in requests] == ["digits"]


def test_without_experiments_it_says_so():
    assert "names no experiment" in evaluate(()).skip_message


def test_experiments_follow_the_refresh_of_their_dataset():
    loaded = definitions(("demo-dcgan", "demo-acgan"))
    sensor = loaded.resolve_sensor_def("nightly_experiments")
    job = loaded.resolve_job_def("prepare_dataset")
    with dg.DagsterInstance.ephemeral() as instance:
        for tags, expected in (({NIGHT_TAG: "n"}, {"demo-dcgan", "demo-acgan"}), ({}, set())):
            run = instance.create_run_for_job(
                job, tags={**tags, "dagster/partition": "digits"}, status=dg.DagsterRunStatus.SUCCESS
            )
            event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=job.name)
            context = dg.build_run_status_sensor_context(
                sensor_name=sensor.name, dagster_instance=instance, dagster_run=run, dagster_event=event
            )
            requests = sensor(context)
            names = {request.partition_key for request in requests} if isinstance(requests, list) else set()
            assert names == expected
