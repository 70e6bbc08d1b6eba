"""Trainings in two processes, started by the same asset: what they make, how they end."""

import signal
import time
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

from assets import several_processes
from assets.several_processes import RANK_MODULE
from gan_core import device_leases
from gan_core.device_leases import device_states, environment_of
from gan_core.training import TrainingTask
from tests.gan_core.test_glances import picture_in
from tests.pipelines.test_durability import ENDLESS, World, is_gone
from tests.small_project import DATASET, EXPERIMENT, write_config

PREPARED = ["raw_images", "image_shards", "classifier"]


def materialise(project, assets: list[str], partition: str, **step_config):
    config = {"ops": {"trained_gan": {"config": step_config}}} if step_config else None
    return dg.materialize(
        list(project.definitions.assets),
        instance=project.instance,
        partition_key=partition,
        selection=assets,
        resources=project.definitions.resources,
        run_config=config,
        raise_on_error=False,
    )


def failure(result) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.event_specific_data.error.to_string()


def processes_started(project, result) -> bool:
    return any("[pipes]" in record.message for record in project.instance.all_logs(result.run_id))


@pytest.fixture
def three_devices(monkeypatch, tmp_path):
    """Simulated ones."""
    monkeypatch.setenv(device_leases.FOLDER, str(tmp_path / "leases"))
    monkeypatch.setenv(device_leases.DEVICES, "0,1,2")


@pytest.mark.slow
def test_the_same_asset_trains_in_two_processes(project, three_devices, monkeypatch):
    had = []
    monkeypatch.setattr(
        several_processes,
        "environment_of",
        lambda devices: had.append([state.what for state in device_states()]) or environment_of(devices),
    )
    assert materialise(project, PREPARED, DATASET["name"]).success
    result = materialise(project, ["trained_gan"], "plain", processes=2, observe_seconds=0.5)
    assert result.success and processes_started(project, result)
    manifest = project.store.require("trained_gan", "plain")
    assert manifest.details["processes"] == 2
    assert had == [["trained_gan of `plain`"] * 2 + [None]]  # each process has its own
    assert all(state.what is None for state in device_states())
    (event,) = result.asset_materializations_for_node("trained_gan")
    assert event.metadata["reused"].value is False
    assert "verdict" in event.metadata and "curves" in event.metadata
    observations = project.instance.fetch_observations(dg.AssetKey("trained_gan"), limit=100).records
    assert not any("framework exception" in (event.message or "") for event in result.all_events)
    shown = observations[0].asset_observation.metadata
    assert shown["d_loss"].value > 0
    assert picture_in(shown["samples"].value.removeprefix("![samples](").removesuffix(")")).size == (142, 16)


def test_no_process_is_started_where_there_is_nothing_to_train(project, monkeypatch):
    project.write({**EXPERIMENT, "batch_size": 49, "name": "odd"})
    assert materialise(project, PREPARED, DATASET["name"]).success
    assert materialise(project, ["trained_gan"], "plain").success

    monkeypatch.setenv("GAN_PROCESSES", "2")
    again = materialise(project, ["trained_gan"], "plain")
    (event,) = again.asset_materializations_for_node("trained_gan")
    assert event.metadata["reused"].value is True
    assert not processes_started(project, again)

    odd = materialise(project, ["trained_gan"], "odd")
    assert "batch_size 49 cannot be shared evenly by 2 processes" in failure(odd)
    assert not processes_started(project, odd)


# --- ends -------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """Runs train in two processes."""
    world = World(tmp_path)
    world.environment["GAN_PROCESSES"] = "2"
    world.materialise(PREPARED, DATASET["name"])
    write_config(world.configs_folder, ENDLESS)
    yield world
    for process in processes_of(world):
        process.kill()
    world.close()


def processes_of(world: World) -> list[psutil.Process]:
    """Those that train for this world's store."""
    found = []
    for process in psutil.process_iter():
        try:
            if RANK_MODULE in process.cmdline() and process.environ().get("GAN_STORE") == world.store.url:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until_none_is_left(world: World) -> None:
    world.wait("the end of all processes", lambda: all(map(is_gone, processes_of(world))), 60)


@pytest.mark.slow
def test_a_killed_process_fails_the_run_and_a_new_one_goes_on_until_it_is_cancelled(world):
    worker = world.execute("endless")
    first = world.wait_for_training("endless")
    (second,) = [process for process in processes_of(world) if process.pid != first.pid]
    second.kill()
    began = time.monotonic()
    assert worker.wait(90) != 0
    assert time.monotonic() - began < 60
    wait_until_none_is_left(world)
    (run,) = world.runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    (failure,) = [
        event.dagster_event.event_specific_data.error.to_string()
        for event in world.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    ]
    assert "the training of `endless` in 2 processes failed: process 1 of 2" in failure
    assert "was killed (SIGKILL)" in failure
    saved = max(world.checkpoints("endless"))

    worker = world.execute("endless")
    world.wait_for_training("endless")
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    wait_until_none_is_left(world)
    assert time.monotonic() - began < 60
    run = world.runs()[-1]
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert f"/checkpoint-{saved:012d}.pt: {saved:,} images seen" in world.messages(run)
    assert max(world.checkpoints("endless")) % ENDLESS["checkpoint_every"] != 0
    assert world.trainer("endless") is None


@pytest.mark.slow
def test_an_interrupt_of_one_process_cancels_the_run_and_all_have_saved(world):
    worker = world.execute("endless")
    first = world.wait_for_training("endless")
    assert {
        connection.laddr.ip
        for process in processes_of(world)
        for connection in process.net_connections("inet")
    } == {"127.0.0.1"}
    (second,) = [process for process in processes_of(world) if process.pid != first.pid]
    second.send_signal(signal.SIGINT)
    worker.wait(30)
    wait_until_none_is_left(world)
    (run,) = world.runs()
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert max(world.checkpoints("endless")) % ENDLESS["checkpoint_every"] != 0
    assert world.trainer("endless") is None


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["step", "worker"])
def test_what_loses_its_parent_saves_and_ends(world, killed):
    worker = world.execute("endless")
    trainer = world.wait_for_training("endless")
    {"step": trainer.parent(), "worker": psutil.Process(worker.pid)}[killed].kill()
    wait_until_none_is_left(world)
    assert max(world.checkpoints("endless")) % ENDLESS["checkpoint_every"] != 0
    assert world.trainer("endless") is None


def test_a_task_travels_as_json(project):
    assert materialise(project, ["raw_images", "image_shards", "classifier"], DATASET["name"]).success
    configs, name = project.configs, DATASET["name"]
    task = TrainingTask(
        experiment=configs.experiments["conditional"],
        dataset=configs.datasets[name],
        shards=project.store.require("image_shards", name),
        classifier=project.store.require("classifier", name),
        force=True,
        observe_interval=2.5,
    )
    assert TrainingTask.model_validate(task.model_dump(mode="json")) == task
