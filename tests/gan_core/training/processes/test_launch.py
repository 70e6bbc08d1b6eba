"""Processes of one machine that train together: who can reach them, and how they end together."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gan_core.errors import ConfigError, LostRankError, TrainingError
from gan_core.store import Store
from gan_core.training.processes import launch
from gan_core.training.processes.launch import number_of_processes, run_ranks
from tests.small_project import DATASET, EXPERIMENT, write_config

ENDLESS = {**EXPERIMENT, "name": "endless", "length": {"images": 10**9}, "checkpoint_every": 5000}
PATIENCE = 120  # seconds
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}

RANK = """
import json, os, signal, sys, threading, time
from pathlib import Path
import psutil
from gan_core.errors import ConfigError, GanError
from gan_core.training.processes.joining import joined
from gan_core.training.processes.launch import leave_word

try:
    with joined("cpu") as ranks:
        assert ranks.of_first("word" if ranks.is_first else None) == "word"
        listening = [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == "LISTEN"]
        Path(sys.argv[1], str(ranks.rank)).write_text(json.dumps(listening))
        ranks.any(False)
        if sys.argv[2] == "fail" and ranks.rank == 1:
            raise ConfigError("what is wrong")
        if sys.argv[2] == "kill" and ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[2] == "abort" and ranks.rank == 1:  # as NCCL's watchdog does, from a thread of its own
            threading.Timer(0.5, os.abort).start()
            threading.Event().wait()
        if sys.argv[2] == "hang" and ranks.rank == 1:  # as in a lock that nobody opens
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            with ranks.step():
                time.sleep(3600)
        if sys.argv[2] == "stop" and ranks.is_first:
            os.kill(os.getpid(), signal.SIGSTOP)
        if sys.argv[2] == "work" and ranks.is_first:  # as in an evaluation, and in a step of a large network
            time.sleep(1.5 * float(os.environ["GAN_RANK_TIMEOUT"]))
            with ranks.step():
                while time.process_time() < 1.5 * float(os.environ["GAN_RANK_TIMEOUT"]):
                    pass
        if sys.argv[2] == "crash" and ranks.rank == 1:
            os._exit(7)
        if sys.argv[2] in ("interrupt", "untidy") and ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10_000 if sys.argv[2] not in ("end", "work") else 1):
            ranks.any(False)
except (GanError, KeyboardInterrupt) as error:
    leave_word(error)
    if sys.argv[2] == "untidy" and ranks.is_first:  # as C++ does where a thread is left at the end
        os.abort()
    sys.exit(2)
"""


def together(folder: Path, end: str) -> None:
    run_ranks("mine", ["-c", RANK, str(folder), end], 2)


def test_they_listen_on_the_loopback_interface_only(tmp_path):
    together(tmp_path, "end")
    addresses = [json.loads((tmp_path / str(rank)).read_text()) for rank in range(2)]
    assert all(addresses)  # gloo's
    assert set(sum(addresses, [])) <= LOOPBACK


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        ("fail", ConfigError, "^what is wrong$"),
        (
            "kill",
            TrainingError,
            r"process 1 of 2, which train `mine`, was killed \(SIGKILL\).*the last checkpoint",
        ),
        (
            "abort",
            TrainingError,
            r"process 1 of 2, which train `mine`, was killed \(SIGABRT\), as .* NCCL's watchdog .*checkpoint",
        ),
        ("crash", TrainingError, "process 1 of 2, which train `mine`, failed with status 7"),
        ("interrupt", KeyboardInterrupt, "process 1 was interrupted"),
        ("untidy", KeyboardInterrupt, "process 1 was interrupted"),
    ],
)
def test_the_one_that_ends_first_says_why_and_none_is_left(tmp_path, end, error, message):
    with pytest.raises(error, match=message):
        together(tmp_path, end)
    assert not left_over(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("end", "rank"), [("hang", 1), ("stop", 0)])
def test_one_that_hangs_is_named_and_ends_the_run_without_a_wait_for_its_end(
    tmp_path, monkeypatch, end, rank
):
    monkeypatch.setenv("GAN_RANK_TIMEOUT", "3")
    monkeypatch.setattr(launch, "STOP_SECONDS", 3600)  # of one that does not obey
    with pytest.raises(
        LostRankError, match=f"process {rank} of 2 has done nothing for 3 s.*goes on from its last checkpoint"
    ):
        together(tmp_path, end)
    assert not left_over(tmp_path)


@pytest.mark.slow
def test_one_that_works_for_longer_than_the_time_out_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_RANK_TIMEOUT", "4")
    together(tmp_path, "work")


def left_over(folder: Path) -> list[psutil.Process]:
    """The processes of `together` that have not ended."""
    started = psutil.Process().children(recursive=True)
    return [process for process in started if str(folder) in process.cmdline()]


def test_the_number_of_processes_is_checked(monkeypatch):
    monkeypatch.delenv("GAN_PROCESSES", raising=False)
    assert (number_of_processes(None), number_of_processes(4)) == (1, 4)
    with pytest.raises(ConfigError, match="`processes` is `0`"):
        number_of_processes(0)
    monkeypatch.setenv("GAN_PROCESSES", "3")
    assert (number_of_processes(None), number_of_processes(1)) == (3, 1)
    monkeypatch.setenv("GAN_PROCESSES", "all")
    with pytest.raises(ConfigError, match="GAN_PROCESSES is `all`"):
        number_of_processes(None)


# --- `gan-core train --processes` -------------------------------------------------------------------------


class Command:
    """`gan-core` as a user calls it, in a folder with shards and a classifier."""

    def __init__(self, folder: Path):
        self.folder = folder
        for content in (DATASET, EXPERIMENT, ENDLESS):
            write_config(folder / "configs", content)
        for arguments in (("shard", "few-digits"), ("reference", "few-digits")):
            assert self.start(*arguments).wait(PATIENCE) == 0

    def start(self, *arguments: str) -> subprocess.Popen:
        places = {"GAN_CONFIGS": str(self.folder / "configs"), "GAN_STORE": str(self.folder / "store")}
        return subprocess.Popen(
            [sys.executable, "-m", "gan_core", *arguments],
            env={**os.environ, **places},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def checkpoints(self) -> list[int]:
        found = (self.folder / "store" / "trained_gan" / "endless").rglob("checkpoint-*.json")
        return sorted(int(path.stem.removeprefix("checkpoint-")) for path in found)

    def train_endlessly(self) -> tuple[subprocess.Popen, list[psutil.Process]]:
        """The command and the processes that it has started, once they have written a checkpoint."""
        before = max(self.checkpoints(), default=0)
        process = self.start("train", "endless", "--processes", "2")
        until = time.monotonic() + PATIENCE
        while max(self.checkpoints(), default=0) <= before:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.1)
        return process, psutil.Process(process.pid).children(recursive=True)


def wait_for_end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


@pytest.mark.slow
def test_a_training_in_two_processes_is_out_of_reach_and_ends_as_one(tmp_path, monkeypatch):
    command = Command(tmp_path)
    process, ranks = command.train_endlessly()
    sockets = [
        connection
        for each in (psutil.Process(process.pid), *ranks)
        for connection in each.net_connections("inet")
    ]
    assert {connection.laddr.ip for connection in sockets} == {"127.0.0.1"}
    assert [connection for connection in sockets if connection.status == psutil.CONN_LISTEN]

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped; the same command goes on where this one stopped"
    assert "Traceback" not in said
    wait_for_end(ranks)
    saved = command.checkpoints()[-1]
    assert saved % ENDLESS["checkpoint_every"] != 0

    process, ranks = command.train_endlessly()
    ranks[1].kill()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert re.match("TrainingError: process [01] of 2, .* was killed", said.splitlines()[-1])
    assert f"going on from {tmp_path}" in said
    assert f"{saved:,} images seen" in said
    assert "Traceback" not in said
    wait_for_end(ranks)

    monkeypatch.setenv("GAN_RANK_TIMEOUT", "10")
    process, ranks = command.train_endlessly()
    ranks[0].suspend()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.match("LostRankError: process [01] of 2 has done nothing for 10 s", said.splitlines()[-1])
    wait_for_end(ranks)

    process, ranks = command.train_endlessly()
    process.kill()
    process.communicate()
    wait_for_end(ranks)  # which have saved
    assert command.checkpoints()[-1] % ENDLESS["checkpoint_every"] != 0


@pytest.mark.slow
def test_the_first_process_prints_what_was_made(tmp_path):
    command = Command(tmp_path)
    trained = [
        json.loads(command.start("train", "plain", "--processes=2").communicate()[0]) for _ in range(2)
    ]
    assert [each["reused"] for each in trained] == [False, True]
    assert Store(tmp_path / "store").require("trained_gan", "plain").details["processes"] == 2
