"""Several processes want the same thing, and some are killed: `python -m tests.breaking.at_once`."""

import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from gan_core.store.attempts import Holder
from tests.breaking.trials import run_trials
from tests.gan_core import test_at_once as commands
from tests.gan_core.training.processes import test_launch as launched
from tests.pipelines import test_instance as instances
from tests.small_project import DATASET, EXPERIMENT, write_config

CHAIN = [
    ("shard", "few-digits"),
    ("reference", "few-digits"),
    ("train", "plain"),
    ("sample", "plain"),
    ("evaluate", "plain"),
]


def new_project() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="at-once-"))
    for content in (DATASET, EXPERIMENT):
        write_config(folder / "configs", content)
    return folder


def run_chain(project: Path, until: str) -> None:
    """The commands before `until`, one after the other."""
    for command, name in CHAIN:
        if command == until:
            return
        process = commands.start(project, command, name)
        process.communicate(timeout=commands.PATIENCE)


def three_at_once(command: str, name: str) -> None:
    project = new_project()
    run_chain(project, command)
    assert commands.at_once(project, command, name) == [False, True, True]
    assert list((project / "store").rglob("*lease-*")) == []


def holder_killed(command: str, name: str, seconds: float) -> None:
    """Of three the one that holds the lease is killed after so many seconds of holding it."""
    project = new_project()
    run_chain(project, command)
    processes = [commands.start(project, command, name) for _ in range(commands.AT_ONCE)]
    holder = wait_for_holder(project, processes)
    time.sleep(seconds)
    os.kill(holder, signal.SIGKILL)
    for process in processes:
        _, errors = process.communicate(timeout=commands.PATIENCE)
        killed = process.pid == holder and process.returncode == -signal.SIGKILL
        assert killed or process.returncode == 0, errors
    assert list((project / "store").rglob("*lease-*")) == []
    assert commands.at_once(project, command, name) == [True, True, True]


def wait_for_holder(project: Path, processes: list) -> int:
    mine = {process.pid for process in processes}
    until = time.monotonic() + commands.PATIENCE
    while time.monotonic() < until:
        for path in (project / "store").rglob("lease-*.json"):
            holder = Holder.read(path.read_bytes() if path.exists() else None)
            if holder and holder.pid in mine:
                return holder.pid
        time.sleep(0.01)
    raise AssertionError("none of them has held a lease")


def ranks_ended_by(number: signal.Signals, whom: str) -> None:
    """A training in two processes, of which the command or one process gets a signal."""
    command = launched.Command(Path(tempfile.mkdtemp(prefix="ranks-")))
    process, ranks = command.train_endlessly()
    every = launched.ENDLESS["checkpoint_every"]
    (psutil.Process(process.pid) if whom == "command" else ranks[-1]).send_signal(number)
    _, said = process.communicate(timeout=60)
    launched.wait_for_end(ranks)
    if number == signal.SIGKILL and whom == "process":
        assert process.returncode == 2 and "was killed (SIGKILL)" in said.splitlines()[-1], said
    else:
        assert command.checkpoints()[-1] % every != 0, "nothing was saved at the end"
        assert list((command.folder / "store").rglob("lease-*")) == []
    assert "Traceback" not in said, said


def new_homes() -> None:
    """Opened by four at the same moment."""
    context = multiprocessing.get_context("spawn")
    folder, count = tempfile.mkdtemp(prefix="homes-"), 4
    barrier, outcomes = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=instances.open_many, args=(folder, barrier, outcomes)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=600) for _ in range(count * instances.ROUNDS)]
    for process in processes:
        process.join(60)
    assert not any(found), found


CASES = {
    "four open a new home": new_homes,
    **{
        f"three at once: {command}": functools.partial(three_at_once, command, name)
        for command, name in CHAIN
    },
    **{
        f"holder killed after {seconds} s: {command}": functools.partial(
            holder_killed, command, name, seconds
        )
        for command, name in CHAIN
        for seconds in (0, 0.5)
    },
    **{
        f"ranks: {number.name} to {whom}": functools.partial(ranks_ended_by, number, whom)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        for whom in ("command", "process")
    },
}

if __name__ == "__main__":
    sys.exit(run_trials("the same thing by several processes at once", CASES))
