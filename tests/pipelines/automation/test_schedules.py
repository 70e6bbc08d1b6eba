"""Schedules: off until switched on, the data first, never two rounds at once, no backlog."""

import datetime
import logging
import time

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import create_test_daemon_workspace_context, instance_for_test
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from pipelines.automation.rounds import SETTLE_SECONDS, is_in_progress, read_round, tags_of_round
from pipelines.instance import REPOSITORY
from tests.pipelines.automation.bench import NIGHTLY, TICK

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
STARTED = dg.DagsterRunStatus.STARTED
OF_TICK = tags_of_round("nightly", TICK)


def trained(bench, *names: str) -> None:
    from gan_core.store import Store

    for name in names:
        Store(bench.folder / "store").produce(
            "trained_gan", name, config={}, inputs={}, code_version="1", build=lambda work: None
        )


def sensor_requests(bench, instance, run: dg.DagsterRun) -> list[dg.RunRequest]:
    return bench.requests(instance, "scheduled_experiments", run)


def test_each_is_off_until_switched_on_and_at_its_time_zone(bench):
    bench.write("schedules", NIGHTLY)
    schedule = bench.definitions.resolve_schedule_def("nightly_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "Europe/Berlin")


def test_training_refreshes_each_dataset_once(bench, instance):
    bench.write("schedules", NIGHTLY)
    (request,) = bench.tick(instance).run_requests
    assert (request.partition_key, request.run_config) == ("few-digits", {})
    assert OF_TICK.items() <= request.tags.items()


@pytest.mark.parametrize("force", [False, True])
def test_experiments_follow_the_refresh_of_their_dataset(bench, instance, force):
    bench.write("schedules", {**NIGHTLY, "experiments": [], "tags": ["draft"], "force": force})
    (request,) = sensor_requests(
        bench, instance, bench.run(instance, "prepare_dataset", "few-digits", **OF_TICK)
    )
    assert request.partition_key == "other" and OF_TICK.items() <= request.tags.items()
    assert request.run_config == ({"ops": {"trained_gan": {"config": {"force": True}}}} if force else {})
    job = bench.definitions.resolve_job_def("run_experiment")
    assert dg.validate_run_config(job, request.run_config)
    assert not sensor_requests(bench, instance, bench.run(instance, "prepare_dataset", "few-digits"))


def test_a_schedule_that_was_removed_starts_nothing(bench, instance):
    run = bench.run(instance, "prepare_dataset", "few-digits", **OF_TICK)
    assert not sensor_requests(bench, instance, run)


def test_evaluation_measures_what_is_trained_and_trains_nothing(bench, instance):
    weekly = {"name": "weekly", "does": "evaluate", "cron": "0 5 * * 0", "experiments": ["*"], "force": True}
    bench.write("schedules", weekly)
    assert "none of the 2 experiments of `weekly` is trained" in bench.tick(instance, "weekly").skip_message
    trained(bench, "plain")
    (request,) = bench.tick(instance, "weekly").run_requests
    assert request.partition_key == "plain"
    assets = {key.to_user_string() for key in request.asset_selection}
    assert assets == {"samples", "evaluation", "analysis"} == set(request.run_config["ops"])
    job = bench.definitions.resolve_job_def("run_experiment")
    subset = job.get_subset(asset_selection=set(request.asset_selection))
    assert dg.validate_run_config(subset, request.run_config)


def test_pruning_asks_for_one_run(bench, instance):
    bench.write("schedules", {"name": "prune", "does": "prune", "cron": "0 4 * * *", "older_than": "30d"})
    (request,) = bench.tick(instance, "prune").run_requests
    assert request.partition_key is None
    assert dg.validate_run_config(bench.definitions.resolve_job_def("prune_history"), request.run_config)
    assert "720h" in str(request.run_config) or "30d" in str(request.run_config)


# --- rounds -----------------------------------------------------------------------------------------------


def rounds_begin(bench, instance) -> bool:
    """Whether a tick begins one."""
    return bool(bench.tick(instance).run_requests)


def test_a_tick_begins_nothing_while_the_last_round_goes_on(bench, instance):
    bench.write("schedules", NIGHTLY)
    dataset = bench.run(instance, "prepare_dataset", "few-digits", STARTED, **OF_TICK)
    assert "goes on" in bench.tick(instance).skip_message
    event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=dataset.job_name)
    instance.report_dagster_event(event, dataset.run_id)
    assert not rounds_begin(bench, instance)  # its experiments are still to come
    bench.run(instance, "run_experiment", "plain", **OF_TICK)
    assert not rounds_begin(bench, instance)
    other = bench.run(instance, "run_experiment", "other", STARTED, **OF_TICK)
    assert not rounds_begin(bench, instance)
    instance.report_run_failed(other)
    assert rounds_begin(bench, instance)


def test_what_does_not_come_is_not_waited_for_for_ever(bench, instance):
    bench.write("schedules", NIGHTLY)
    bench.run(instance, "prepare_dataset", "few-digits", **OF_TICK)
    found = read_round(instance, bench.configs, "nightly", TICK)
    assert set(found.waited_for) == {"plain", "other"}
    now = time.time()
    assert found.in_progress(now) and not found.in_progress(now + SETTLE_SECONDS + 60)


def test_a_run_that_will_be_retried_is_not_the_end(bench, instance):
    bench.write("schedules", {**NIGHTLY, "experiments": ["plain"]})
    bench.run(instance, "prepare_dataset", "few-digits", **OF_TICK)
    failed = bench.run(instance, "run_experiment", "plain", FAILURE, **OF_TICK)
    assert not is_in_progress(instance, bench.configs, "nightly")
    instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    assert is_in_progress(instance, bench.configs, "nightly")
    bench.run(instance, "run_experiment", "plain", SUCCESS, **OF_TICK)
    assert not is_in_progress(instance, bench.configs, "nightly")
    assert read_round(instance, bench.configs, "nightly", TICK).failed == []


def test_another_schedule_is_not_kept_back(bench, instance):
    bench.write("schedules", NIGHTLY)
    bench.run(instance, "prepare_dataset", "few-digits", STARTED, **tags_of_round("hourly", TICK))
    assert rounds_begin(bench, instance)


@pytest.mark.slow
def test_ticks_that_were_missed_are_made_up_for_by_one(bench):
    """Dagster's own scheduler, on the project's code location, after the daemon was away for five ticks."""
    bench.write("schedules", {**NIGHTLY, "cron": "0 * * * *"})
    launcher = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    target = PythonFileTarget("pipelines/definitions.py", None, str(REPOSITORY), "gan-pipelines")
    with (
        instance_for_test(overrides={"run_launcher": launcher}) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        (entry,) = workspace.create_request_context().get_code_location_entries().values()
        (repository,) = entry.code_location.get_repositories().values()
        schedule = repository.get_schedule("nightly_schedule")
        instance.start_schedule(schedule)
        began = datetime.datetime.now(datetime.UTC)

        def after(hours: float) -> list[dg.DagsterRun]:
            at = began + datetime.timedelta(hours=hours)
            list(launch_scheduled_runs(workspace, logging.getLogger("test"), at, {}))
            return instance.get_runs()

        (run,) = after(5.5)
        assert run.tags["dagster/partition"] == "few-digits"
        assert after(8.5) == [instance.get_run_by_id(run.run_id)]  # it has not ended yet
        ticks = instance.get_ticks(schedule.get_remote_origin_id(), schedule.selector_id)
        assert [tick.status for tick in ticks] == [TickStatus.SKIPPED, TickStatus.SUCCESS]
        instance.report_run_failed(run)
        assert len(after(9.5)) == 2
