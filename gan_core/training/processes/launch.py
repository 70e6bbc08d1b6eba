"""One training in several processes of this machine: starting them, watching them, ending them together.

On several machines torchrun does this. Its processes meet at a port that is open to every network of the
machine, so it is not used where there is one.
"""

import ctypes
import json
import math
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan_core import errors
from gan_core.device_leases import held_locks
from gan_core.errors import ConfigError, GanError, LostRankError, TrainingError
from gan_core.remedies import how_to_make
from gan_core.training.processes.beckoning import Beckoning

PROCESSES = "GAN_PROCESSES"
# What stands before the command of a training of one process: `srun --gres=gpu:1`, say.
COMMAND = "GAN_TRAINING_COMMAND"
# What a process is told of those that it was started with: the folder where they meet, and who started them.
FOLDER, LAUNCHER = "GAN_RANKS_FOLDER", "GAN_RANKS_LAUNCHER"
PACKAGES = Path(__file__).resolve().parents[3]
LOOK_SECONDS = 0.1
STOP_SECONDS = 40.0
TAKING_ALONG_SECONDS = 10.0
CAUSE_SECONDS = 5.0  # between the end of a process that lost another and the end of that one


def number_of_processes(configured: int | None) -> int:
    """What was asked for, else GAN_PROCESSES, else 1. Raises `ConfigError` for no number."""
    given = os.environ.get(PROCESSES) or 1 if configured is None else configured
    with suppress(ValueError):
        if int(given) >= 1:
            return int(given)
    source = f"the environment variable {PROCESSES}" if configured is None else "`processes`"
    raise ConfigError(f"{source} is `{given}`: give the number of processes of a training, 1 or more")


def training_command(processes: int) -> list[str]:
    """What GAN_TRAINING_COMMAND says, as words; none by default.

    Raises `ConfigError` where it cannot be read, and for several processes, which it does not start together.
    """
    try:
        words = shlex.split(os.environ.get(COMMAND) or "")
    except ValueError as error:
        given = os.environ[COMMAND]
        raise ConfigError(f"the environment variable {COMMAND} is `{given}`: {error}") from error
    if words and processes > 1:
        raise ConfigError(
            f"a training in {processes} processes cannot be started by {COMMAND} (`{' '.join(words)}`): "
            "train in one process, or start torchrun by it, without Dagster"
        )
    return words


def is_rank() -> bool:
    """Whether this process is one of several, started by `run_ranks` or by torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def run_ranks(
    experiment: str,
    arguments: list[str],
    processes: int,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
) -> None:
    """`python ARGUMENTS` as `processes` processes that train `experiment` together, until all have ended.

    `command` stands before it: a program that runs it, elsewhere perhaps, and ends as it does. It needs to
    see the folder for temporary files.

    They meet at a file, and listen on the loopback interface only. An interrupt of the calling thread goes on
    to all of them; they stop at the same step and save a checkpoint. So they do, within a second, where this
    process is killed; what a command started does it a minute later. In the end none of them is left.

    Raises the `GanError` of the process that failed, `TrainingError` for one that was killed, and
    `KeyboardInterrupt` where one was interrupted.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        common = {**os.environ, **_environment(folder, processes), **(environment or {})}
        started: list[subprocess.Popen] = []
        beckoning = Beckoning(folder) if command else None
        try:
            for rank in range(processes):
                own = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                started.append(
                    _start([*command, sys.executable, *arguments], own, ends_with_us=bool(command))
                )
            _watch(started, folder, beckoning)
        except BaseException as interrupt:
            _end(started, folder, beckoning)
            _add_notes(interrupt, folder, processes)
            raise
        ended = [_Ended(rank, process.poll(), folder) for rank, process in enumerate(started)]
        _end(started, folder, beckoning)
        failed = [one for one in ended if one.status]
        if failed:
            raise min(failed, key=_Ended.order).error(experiment, processes)


def was_launched() -> bool:
    """Whether `run_ranks` started this process."""
    return FOLDER in os.environ


def leave_word(error: BaseException) -> None:
    """Let `run_ranks`, which started this process, know why it ends; its signal to do so comes too late."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    message = str(error) if isinstance(error, GanError) else ". ".join(getattr(error, "__notes__", []))
    told = {"error": type(error).__name__, "message": message, "silent": getattr(error, "silent", None)}
    word = json.dumps(told)
    _word(os.environ[FOLDER], int(os.environ["RANK"])).write_text(word)


# -- inside


def _environment(folder: str, processes: int) -> dict[str, str]:
    """The modules are found from any folder; the processes share the cores."""
    import joblib

    count, loopback = str(processes), _loopback()
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH")))),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, joblib.cpu_count() // processes)),
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        FOLDER: folder,
        LAUNCHER: str(os.getpid()),
    }


def _loopback() -> str:
    """The name of the interface that has 127.0.0.1: `lo` on Linux, `lo0` on macOS."""
    import psutil

    addresses = {
        (address.family, address.address): name
        for name, found in psutil.net_if_addrs().items()
        for address in found
    }
    return addresses[socket.AF_INET, "127.0.0.1"]


def _start(words: list[str], environment: dict[str, str], ends_with_us: bool) -> subprocess.Popen:
    # In a session of its own: Ctrl-C in a terminal reaches this process, which passes it on. Python's
    # processes see for themselves that this one is gone; other programs are sent a signal, by which srun
    # gives up a job that waits, and does nothing else.
    try:
        return subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=held_locks(),
            preexec_fn=_end_with_parent if ends_with_us else None,
        )
    except OSError as error:
        if not ends_with_us:
            raise
        raise ConfigError(
            f"the training cannot be started by {COMMAND}, `{words[0]}`: {error.strerror}; mend that, or "
            "unset it"
        ) from error


def _end_with_parent() -> None:
    """Linux: SIGINT to this process once its parent is gone."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _watch(started: list[subprocess.Popen], folder: str, beckoning: Beckoning | None) -> None:
    """Until all have ended well, or one has not.

    One that has ended for the loss of another may be seen first: the other one is waited for, if it can end.
    """
    until = math.inf
    while True:
        if beckoning:
            beckoning.show_life()
        ended = [_Ended(rank, process.poll(), folder) for rank, process in enumerate(started)]
        failed = [one for one in ended if one.status]
        if any(one.says_why for one in failed) or all(one.status is not None for one in ended):
            return
        if failed:
            until = min(until, time.monotonic() + CAUSE_SECONDS)
        if time.monotonic() > until:
            return
        time.sleep(LOOK_SECONDS)


def _end(started: list[subprocess.Popen], folder: str, beckoning: Beckoning | None) -> None:
    """Interrupt those that are left, and wait until they have saved and ended; kill one that was given up.
    Interrupts that follow the first one change nothing."""
    given_up = [_told(folder, rank).get("silent") for rank in range(len(started))]
    alive = [process for process in started if process.poll() is None]
    if alive and beckoning:
        beckoning.stop()
    for process in alive:
        process.send_signal(signal.SIGKILL if started.index(process) in given_up else signal.SIGINT)
    until = time.monotonic() + STOP_SECONDS
    while any(process.poll() is None for process in alive):
        with suppress(BaseException):
            if time.monotonic() > until:
                _give_up(alive, politely=beckoning is not None)
            time.sleep(LOOK_SECONDS)


def _give_up(alive: list[subprocess.Popen], politely: bool) -> None:
    """Kill them; another program has some seconds to take what it started with it."""
    for process in alive if politely else []:
        process.terminate()
    until = time.monotonic() + TAKING_ALONG_SECONDS
    while politely and time.monotonic() < until and any(process.poll() is None for process in alive):
        time.sleep(LOOK_SECONDS)
    for process in alive:
        process.kill()


def _word(folder: str, rank: int) -> Path:
    return Path(folder) / f"rank-{rank}.json"


def _told(folder: str, rank: int) -> dict[str, Any]:
    """What a process has left by `leave_word`; empty if nothing."""
    with suppress(FileNotFoundError, ValueError):
        return json.loads(_word(folder, rank).read_text())
    return {}


def _add_notes(interrupt: BaseException, folder: str, processes: int) -> None:
    """What the processes had to say when they were interrupted, such as that nothing could be saved."""
    for told in (_told(folder, rank) for rank in range(processes)):
        if told.get("message"):
            interrupt.add_note(told["message"])


def _example_of(killer: signal.Signals) -> str:
    """What kills a process so."""
    if killer == signal.SIGABRT:
        return (
            "as libraries do that cannot go on, and NCCL's watchdog where another process has not answered "
            "for too long: its error output says why"
        )
    return "for example because memory ran out"


class _Ended:
    """How a process has ended: `status` is None where it has not, negative for a signal.

    One that says that it has given another one up counts as ended: it may take seconds to be.
    """

    def __init__(self, rank: int, status: int | None, folder: str):
        self.rank, self.status, self.told = rank, status, _told(folder, rank)
        if status is None and self.told.get("silent") is not None:
            self.status = 2

    @property
    def lost_another(self) -> bool:
        return self.told.get("error") == LostRankError.__name__

    @property
    def says_why(self) -> bool:
        """Whether no other one can say more of what they all have ended for."""
        return not self.lost_another or self.told.get("silent") is not None

    def order(self) -> tuple[bool, bool]:
        """Least for what the others have ended for: a kill, then what is not the loss of another.

        Who has left its word was not killed before, whatever its libraries do on its way out.
        """
        return self.status > 0 or bool(self.told), self.lost_another

    def error(self, experiment: str, processes: int) -> BaseException:
        name, message = self.told.get("error"), self.told.get("message", "")
        if name == KeyboardInterrupt.__name__:
            interrupt = KeyboardInterrupt(f"process {self.rank} was interrupted")
            if message:
                interrupt.add_note(message)
            return interrupt
        if name:
            return getattr(errors, name, TrainingError)(message)
        which = f"process {self.rank} of {processes}, which train `{experiment}`,"
        again = f"to go on from the last checkpoint, {how_to_make('trained_gan', experiment)}"
        if self.status < 0:
            killer = signal.Signals(-self.status)
            return TrainingError(
                f"{which} was killed ({killer.name}), {_example_of(killer)}; the others have ended, too; "
                f"{again}"
            )
        return TrainingError(
            f"{which} failed with status {self.status}: its error output says why; mend that, then {again}"
        )
