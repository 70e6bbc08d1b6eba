"""Runs on Celery: a real broker and two workers, of which the one that trains is killed, or asked to stop."""

import shutil
import subprocess
from collections.abc import Iterator

import psutil
import pytest
import yaml

from gan_core.store import Store
from pipelines.instance import REPOSITORY
from tests.pipelines.dev_server import free_port
from tests.pipelines.test_durability import ENDLESS, World, _tree, is_gone, results, wait_for_end
from tests.small_project import write_config

REDIS = shutil.which("redis-server")
FINITE = {**ENDLESS, "name": "finite", "length": {"images": 20_000}}
PATIENCE = 1200  # seconds; the machine may have other work
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(REDIS is None, reason="no Redis here: install redis-server to test with it"),
]


@pytest.fixture
def broker(tmp_path) -> Iterator[str]:
    """The URL of a Redis server that listens on 127.0.0.1 and asks for a password."""
    port, folder = free_port(), tmp_path / "redis"
    folder.mkdir()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([REDIS, *options, "--requirepass", "of-the-test"], stdout=log, stderr=log)
    yield f"redis://:of-the-test@127.0.0.1:{port}/0"
    server.kill()
    server.wait()


@pytest.fixture
def world(tmp_path, broker, monkeypatch) -> Iterator[World]:
    """A daemon that gives runs to Celery."""
    monkeypatch.setenv("GAN_CELERY_BROKER", broker)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("DAGSTER_GRPC_TIMEOUT_SECONDS", str(PATIENCE))
    world = World(tmp_path, yaml.safe_load((REPOSITORY / "deploy" / "celery.yaml").read_text()))
    world.materialise(["raw_images", "image_shards", "classifier"], "few-digits")
    for experiment in (FINITE, ENDLESS):
        write_config(world.configs_folder, experiment)
    yield world
    world.close()


def two_workers(world: World) -> list[subprocess.Popen]:
    """As docs/deploy.md starts them, and the daemon."""
    start = ("celery", "--app", "pipelines.celery_worker", "worker", "--queues", "dagster")
    both = [world.start(*start, "--hostname", f"worker-{number}@%h") for number in (1, 2)]
    world.start("dagster-daemon", "run", "-w", "workspace.yaml")
    return both


def test_a_killed_worker_s_run_is_retried_by_the_other_and_ends_with_the_same_bytes(world):
    untouched = Store(world.folder / "untouched")
    world.materialise(["raw_images", "image_shards", "classifier"], "few-digits", untouched)
    world.materialise(["trained_gan", "samples"], "finite", untouched)
    both = two_workers(world)

    world.launch("finite", "trained_gan,samples")
    trainer = world.wait_for_training("finite")
    (run,) = world.runs()
    (at_it,) = [worker for worker in both if trainer in _tree(worker.pid)]
    at_it.kill()
    world.wait("the trainer's end", lambda: is_gone(trainer), PATIENCE)
    assert wait_for_end(world, 0, PATIENCE).status.value == "FAILURE"
    assert "The worker of this run is gone without a word" in world.messages(run)
    retried = wait_for_end(world, 1, PATIENCE)
    assert retried.status.value == "SUCCESS" and retried.parent_run_id == run.run_id
    assert f"going on from {world.folder}" in world.messages(retried)
    assert results(world.store) == results(untouched)
    (left,) = [worker for worker in both if worker is not at_it]
    assert psutil.pid_exists(left.pid)


def test_terminate_reaches_the_training_which_saves_and_the_worker_takes_the_next_run(world):
    two_workers(world)
    world.launch("endless")
    trainer = world.wait_for_training("endless")
    (run,) = world.runs()
    world.instance.run_launcher.terminate(run.run_id)
    assert wait_for_end(world, 0, PATIENCE).status.value == "CANCELED"
    world.wait("the trainer's end", lambda: is_gone(trainer), PATIENCE)
    assert max(world.checkpoints("endless")) % ENDLESS["checkpoint_every"] != 0  # the last whole step

    world.launch("finite")
    assert wait_for_end(world, 1, PATIENCE).status.value == "SUCCESS"
