"""Tasks on several cores, and on a Dask cluster of real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from gan_core.data import parallel as module
from gan_core.data import shards
from gan_core.data.parallel import map_in_processes, map_on_cluster
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.errors import ConfigError, GanError
from gan_core.store import Store
from tests.gan_core.data.conftest import encoded, make_dataset, write_files


def square(number: int) -> int:
    return number**2


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ConfigError("three")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2, None])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_order(workers, count):
    assert list(map_in_processes(square, iter(range(count)), workers)) == [i**2 for i in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_arrive_as_they_were(workers):
    with pytest.raises(ConfigError, match="three"):
        list(map_in_processes(fail_at_three, range(10), workers))


def test_tasks_are_drawn_as_they_are_needed():
    drawn = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            drawn.append(number)
            yield number

    results = map_in_processes(time.sleep, (0 * number for number in tasks()), 2)
    next(results)
    assert len(drawn) < 100
    results.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:], "--no-dashboard"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def end(process: subprocess.Popen) -> None:
    """End a process that this test started, with what it started."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
    process.wait()


@pytest.fixture
def scheduler(monkeypatch) -> Iterator[str]:
    address = f"tcp://127.0.0.1:{free_port()}"
    process = start("dask_scheduler", "--host", address)
    monkeypatch.setenv("GAN_DASK", address)
    monkeypatch.setattr(module, "CONNECT_SECONDS", 120)
    yield address
    end(process)


@pytest.fixture
def workers(scheduler, tmp_path) -> Iterator[list[subprocess.Popen]]:
    options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path / "dask"))
    processes = [start("dask_worker", scheduler, *options) for _ in range(2)]
    yield processes
    for process in processes:
        end(process)


def test_without_the_package_the_setting_is_refused(monkeypatch):
    monkeypatch.setenv("GAN_DASK", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="distributed is not installed: run `pip install distributed`"):
        list(map_on_cluster(square, range(3), None))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "ftp://x:1"])
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch, address):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1)
    monkeypatch.setenv("GAN_DASK", address)
    with pytest.raises(ConfigError, match=f"no Dask scheduler answers at {address}.*unset GAN_DASK"):
        list(map_on_cluster(square, range(3), None))


@pytest.mark.slow
def test_a_cluster_without_workers_is_named(scheduler, monkeypatch):
    monkeypatch.setattr(module, "WORKER_SECONDS", 1)
    with pytest.raises(ConfigError, match="has no workers: start some with `dask worker tcp://"):
        list(map_on_cluster(square, range(3), None))


@pytest.mark.slow
def test_results_and_errors_of_a_cluster(workers, monkeypatch):
    assert list(map_on_cluster(square, iter(range(50)), None)) == [i**2 for i in range(50)]
    assert list(map_on_cluster(square, [], None)) == []
    with pytest.raises(ConfigError, match="three"):
        list(map_on_cluster(fail_at_three, range(10), None))


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_one_clear_error(workers, scheduler, monkeypatch):
    results = map_on_cluster(square, iter(range(10_000)), None)
    next(results)
    port = int(scheduler.rpartition(":")[2])
    (pid,) = {c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN"}
    psutil.Process(pid).kill()
    with pytest.raises(GanError, match="broke down"):
        list(results)


@pytest.mark.slow
def test_shards_of_two_workers_of_which_one_is_killed_are_the_same_bytes(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 5)
    images = write_files(tmp_path / "x", {f"{i:03d}.png": encoded(i, (300, 290)) for i in range(200)})
    made = []
    for place, cluster in (("one", False), ("many", True)):
        store, dataset = Store(tmp_path / place), make_dataset(splits=["train"], image_size=256)
        raw = collect_raw_images(store, dataset, locations={"train": str(images)}, emit=lambda line: None)
        with monkeypatch.context() as patch:
            if cluster:
                patch.setattr(shards, "_check_there", killing(workers[0], shards._check_there))
            else:
                patch.delenv("GAN_DASK")
            made.append(write_image_shards(store, dataset, raw, workers=1, emit=lambda line: None))
    assert workers[0].poll() is not None
    assert workers[1].poll() is None
    assert made[0].files == made[1].files
    assert store.problems(made[1], hashes=True) == []


def killing(process: subprocess.Popen, check):
    """A check of finished shards that kills a worker after the third, in the middle of its work."""
    calls = []

    def check_and_kill(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            process.kill()
        check(*arguments)

    return check_and_kill
