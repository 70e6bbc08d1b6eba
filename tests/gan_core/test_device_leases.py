"""Which process has which GPU: real processes, some of them killed, on GPUs that are simulated."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gan_core import device_leases
from gan_core.device_leases import device_names, device_states, leased_devices, on_a_device
from gan_core.errors import ConfigError, LeaseError

PATIENCE = 60  # seconds
# A process that takes so many GPUs, writes down when it had which, and works until a file says stop.
TRAINING = """
import json, pathlib, sys, time
from gan_core.device_leases import leased_devices

folder, name, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with leased_devices(count, name, lambda line: print(line, flush=True)) as devices:
    (folder / f"{name}.has").write_text(json.dumps([devices, time.time()]))
    while not (folder / "stop").exists() and not (folder / f"{name}.stop").exists():
        time.sleep(0.02)
    (folder / f"{name}.done").write_text(json.dumps([devices, time.time()]))
"""


@pytest.fixture(autouse=True)
def leases(tmp_path, monkeypatch):
    monkeypatch.setenv(device_leases.FOLDER, str(tmp_path / "leases"))


@pytest.fixture
def simulated(monkeypatch):
    def simulate(count: int) -> None:
        monkeypatch.setenv(device_leases.DEVICES, ",".join(map(str, range(count))))

    return simulate


@pytest.fixture
def start(tmp_path):
    started: list[subprocess.Popen] = []

    def start(name: str, count: int = 1) -> subprocess.Popen:
        command = [sys.executable, "-c", TRAINING, str(tmp_path), name, str(count)]
        log = (tmp_path / f"{name}.log").open("w")
        started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def users() -> dict[str, str | None]:
    return {state.name: state.what for state in device_states()}


def test_eight_devices_and_twenty_trainings_of_which_two_are_killed(tmp_path, simulated, start):
    simulated(8)
    trainings = {f"training-{number}": start(f"training-{number}") for number in range(20)}
    having = lambda: {path.stem for path in tmp_path.glob("*.has")}  # noqa: E731
    wait_for(lambda: len(having()) == 8)
    assert set(users().values()) == having()  # one GPU each, and eight of them at once
    for name in sorted(having())[:2]:
        trainings[name].send_signal(signal.SIGKILL)
        trainings[name].wait()
    wait_for(lambda: len(having()) == 10)  # what the dead had is given to the next
    killed = {name for name, process in trainings.items() if process.poll() == -signal.SIGKILL}
    assert set(users().values()) == having() - killed
    (tmp_path / "stop").touch()
    for name, process in trainings.items():
        assert process.wait(PATIENCE) == (-signal.SIGKILL if name in killed else 0)
    assert {path.stem for path in tmp_path.glob("*.done")} == trainings.keys() - killed
    assert users() == dict.fromkeys(map(str, range(8)))


def test_one_that_wants_several_is_not_overtaken_for_ever(tmp_path, simulated, start):
    simulated(2)
    start("first")
    wait_for((tmp_path / "first.has").exists)
    start("both", count=2)
    wait_for(lambda: "both" in users().values())  # one of two: it keeps that, and waits for the other
    start("late")
    time.sleep(3 * device_leases.LOOK_SECONDS)
    (tmp_path / "first.stop").touch()
    wait_for((tmp_path / "both.has").exists)
    assert set(users().values()) == {"both"} and not (tmp_path / "late.has").exists()
    (tmp_path / "stop").touch()
    wait_for((tmp_path / "late.done").exists)


def test_who_waits_says_for_whom(tmp_path, simulated, start):
    simulated(1)
    holder = start("trained_gan of `a`")
    wait_for(lambda: "trained_gan of `a`" in users().values())
    start("late")
    wait_for(lambda: (tmp_path / "late.log").read_text())
    said = (tmp_path / "late.log").read_text()
    assert said == f"late waits for a GPU: GPU 0 has trained_gan of `a` (process {holder.pid})\n"
    with (
        pytest.raises(LeaseError, match="third: no GPU became free in time; GPU 0 has trained_gan of `a`"),
        leased_devices(1, "third", print, wait=0.1),
    ):
        pass


def test_a_process_that_was_started_with_the_locks_keeps_them(simulated):
    simulated(1)
    waits = "import sys; sys.stdin.read()"
    with leased_devices(1, "launcher", print):
        rank = subprocess.Popen(
            [sys.executable, "-c", waits], stdin=subprocess.PIPE, pass_fds=device_leases.held_locks()
        )
    assert users() == {"0": "launcher"}  # which has given them back, but its rank still computes
    rank.communicate(timeout=PATIENCE)
    assert users() == {"0": None}


def test_work_within_work_has_the_same_device(simulated):
    simulated(1)
    with leased_devices(1, "outer", print) as outer:
        with leased_devices(1, "inner", print) as inner:
            assert (outer, inner) == (["0"], [])
        assert users() == {"0": "outer"}
    assert users() == {"0": None}


def test_an_error_gives_the_device_back(simulated):
    simulated(1)
    with contextlib.suppress(ZeroDivisionError), on_a_device("work", print):
        raise ZeroDivisionError
    assert users() == {"0": None}


def test_without_devices_nothing_is_leased(monkeypatch):
    monkeypatch.setenv(device_leases.DEVICES, "")
    with leased_devices(4, "training", print) as devices:
        assert devices == [] and device_leases.environment_of(devices) == {}


def test_more_than_there_are(simulated):
    simulated(2)
    with (
        pytest.raises(ConfigError, match=r"training in 3 processes .* there are 2 \(0, 1\): start fewer"),
        leased_devices(3, "training", print),
    ):
        pass


def test_names(monkeypatch):
    monkeypatch.delenv(device_leases.DEVICES, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv(device_leases.VISIBLE, raising=False)
    assert device_names() == ["0", "1"]
    monkeypatch.setenv(device_leases.VISIBLE, "GPU-12, 3")
    assert device_names() == ["GPU-12", "3"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setenv(device_leases.VISIBLE, "-1")  # none, and none is leased
    assert device_names() == []
    monkeypatch.setenv(device_leases.DEVICES, "3")  # of those that are shown
    assert device_names() == ["3"]
    monkeypatch.setenv(device_leases.DEVICES, "3,3")
    with pytest.raises(ConfigError, match="GAN_DEVICES is `3,3`: name each GPU once"):
        device_names()


def test_the_current_device_is_the_leased_one_among_those_shown(monkeypatch):
    import torch

    chosen = []

    @contextlib.contextmanager
    def device(number):
        chosen.append(number)
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv(device_leases.VISIBLE, "5,6,7")
    monkeypatch.setenv(device_leases.DEVICES, "6,9")
    with on_a_device("work", print):
        assert chosen == [1]
        monkeypatch.setattr(device_leases, "_held", {})  # as in another process
        with on_a_device("more", print):  # 9 is simulated
            assert chosen == [1]


def test_the_command_says_who_has_what(simulated, start, tmp_path):
    simulated(2)
    holder = start("trained_gan of `a`")
    wait_for((tmp_path / "trained_gan of `a`.has").exists)
    command = [sys.executable, "-m", "gan_core", "devices"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "trained_gan of `a`" in ran.stdout and str(holder.pid) in ran.stdout and "free" in ran.stdout


def test_a_folder_of_locks_is_the_users_alone(simulated):
    simulated(1)
    with leased_devices(1, "work", print):
        assert Path(os.environ[device_leases.FOLDER]).stat().st_mode & 0o077 == 0


def test_one_who_waits_asks_once_for_the_gpus_there_are(start, tmp_path, simulated, monkeypatch):
    """On a machine with GPUs that is a question to CUDA."""
    simulated(1)
    start("first")
    wait_for((tmp_path / "first.has").exists)
    start("second")  # it waits for the GPU and has the queue, for which the third one waits
    wait_for(lambda: device_leases._try_to_lock(device_leases.QUEUE) is None)
    asked = []
    monkeypatch.setattr(device_leases, "device_names", lambda: asked.append(0) or ["0"])
    with pytest.raises(LeaseError, match="no GPU became free"), leased_devices(1, "third", print, wait=1):
        pass
    assert len(asked) == 1
