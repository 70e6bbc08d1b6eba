"""Runs on Celery: a real broker and two workers, of which the one that trains is killed."""

import shutil
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest
import yaml

from gan_core.store import Store
from pipelines.instance import REPOSITORY
from tests.pipelines.dev_server import free_port
from tests.pipelines.test_durability import FINITE, World, _tree, results, wait_for_end
from tests.small_project import write_config

REDIS = shutil.which("redis-server")
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(REDIS is None, reason="no Redis here: install redis-server to test with it"),
]


@pytest.fixture
def broker(tmp_path) -> Iterator[str]:
    """The URL of a Redis server that listens on 127.0.0.1."""
    port, folder = free_port(), tmp_path / "redis"
    folder.mkdir()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([REDIS, *options], stdout=log, stderr=log)
    yield f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()


@pytest.fixture
def world(tmp_path, broker, monkeypatch) -> Iterator[World]:
    monkeypatch.setenv("GAN_CELERY_BROKER", broker)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    documented = (REPOSITORY / "docs" / "operation.md").read_text()
    block = documented.split("```yaml\nrun_launcher:\n")[1].split("```")[0]
    world = World(tmp_path, yaml.safe_load("run_launcher:\n" + block))
    world.materialise(["raw_images", "image_shards", "classifier"], "few-digits")
    write_config(world.configs_folder, {**FINITE, "length": {"images": 20_000}})
    yield world
    world.close()


def workers(world: World) -> list[subprocess.Popen]:
    """Two of them, as docs/operation.md starts them."""
    app = ("-A", "dagster_celery.app", "-b", world.environment["GAN_CELERY_BROKER"])
    return [
        world.start(
            *("celery", *app, "worker", "--concurrency", "1", "--queues", "dagster", "-n", f"worker-{n}@%h")
        )
        for n in (1, 2)
    ]


def test_a_killed_worker_s_run_is_retried_by_the_other_and_ends_with_the_same_bytes(world):
    untouched = Store(world.folder / "untouched")
    world.materialise(["raw_images", "image_shards", "classifier"], "few-digits", untouched)
    world.materialise(["trained_gan", "samples"], "finite", untouched)
    both = workers(world)
    world.start("dagster-daemon", "run", "-w", "workspace.yaml")

    world.launch("finite", "trained_gan,samples")
    trainer = world.wait_for_training("finite")
    (run,) = world.runs()
    (at_it,) = [worker for worker in both if trainer in _tree(worker.pid)]
    for process in _tree(at_it.pid):
        process.send_signal(signal.SIGKILL)
    assert wait_for_end(world, 0).status.value == "FAILURE"
    assert "The worker of this run is gone without a word" in world.messages(run)
    retried = wait_for_end(world, 1)
    assert retried.status.value == "SUCCESS" and retried.parent_run_id == run.run_id
    assert f"going on from {world.folder}" in world.messages(retried)
    assert results(world.store) == results(untouched)
    (left,) = [worker for worker in both if worker is not at_it]
    assert psutil.pid_exists(left.pid)
