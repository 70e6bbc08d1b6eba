"""Joining the other processes of a training, and ending with who started them."""

import contextlib
import datetime
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as distributed
from torch.distributed.rendezvous import rendezvous

from gan_core.errors import ConfigError
from gan_core.signals import stopping
from gan_core.training.processes.beckoning import Beckoned
from gan_core.training.processes.launch import FOLDER, LAUNCHER, STOP_SECONDS, is_rank, was_launched
from gan_core.training.processes.liveness import Liveness, seconds_of_silence
from gan_core.training.processes.ranks import Ranks, wait_by

GLOO, NCCL = "gloo", "cpu:gloo,cuda:nccl"
# How long the others wait for one that gives signs of life, such as the first in an evaluation. That a
# process has ended, they see at once.
PATIENCE = datetime.timedelta(hours=1)
# So long may a kernel of NCCL wait for the other GPUs, one of whose processes may still read its batch. That
# a process hangs, the others see sooner, when they meet on the CPU before the next step.
NCCL_PATIENCE = datetime.timedelta(minutes=10)
LOOK_SECONDS = 1.0
LAST_WORDS_SECONDS = 20.0


@contextlib.contextmanager
def joined(device: str | None = None) -> Iterator[Ranks]:
    """The processes that `run_ranks`, or torchrun, started together with this one; on its own where there are
    none.

    On CUDA each process of a machine takes the GPU of its local rank. SIGINT and SIGTERM raise
    `KeyboardInterrupt`, once: who started the processes passes them on to every one. When that one has ended
    without a word, this process does the same to itself, and ends 20 s later at the latest. One that gives
    no sign of life is given up by the others (see `Liveness`).

    Raises `ConfigError` where there are more processes than GPUs, and for a wrong GAN_RANK_TIMEOUT.
    """
    if is_rank() or was_launched():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt_once)
    if not is_rank():
        if was_launched() and Beckoned.is_in(os.environ[FOLDER]):
            _end_unless(Beckoned(os.environ[FOLDER]).goes_on, STOP_SECONDS)
        yield Ranks()
        return
    launcher = int(os.environ.get(LAUNCHER) or os.getppid())
    _end_unless(lambda: os.getppid() == launcher, LAST_WORDS_SECONDS)
    silence, backend = seconds_of_silence(), _choose_backend(device)
    store, rank, size = _meeting_place()
    liveness = Liveness(store, rank, size, silence)
    with liveness.shown():
        wait_by(liveness, _join(backend, store=store, rank=rank, world_size=size))
        yield Ranks(rank, size)
        # After an error the process ends, and the others see that: NCCL would wait for them here.
        wait_by(None, None)
        distributed.destroy_process_group()


def _meeting_place() -> tuple[distributed.Store, int, int]:
    """Where they meet, which of them this is, and how many they are. A file, which nobody else can reach;
    torchrun has a TCP port, and says so in the environment."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return next(rendezvous("env://"))
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return distributed.FileStore(os.path.join(folder, "meeting-place"), size), rank, size


def _join(backend: str, **place: Any) -> distributed.ProcessGroup | None:
    """The group for the CPU, where it is another than the default one that is joined here."""
    if backend == GLOO:
        distributed.init_process_group(backend, timeout=PATIENCE, **place)
        return None
    distributed.init_process_group(backend, timeout=NCCL_PATIENCE, **place)
    return distributed.new_group(backend=GLOO, timeout=PATIENCE)


def _choose_backend(device: str | None) -> str:
    if device == "cpu" or not torch.cuda.is_available():
        return GLOO
    rank, processes = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    if processes > torch.cuda.device_count():
        raise ConfigError(
            f"{processes} processes were started on this machine, which shows {torch.cuda.device_count()} "
            "GPUs: start at most one a GPU, or choose the device `cpu`"
        )
    torch.cuda.set_device(rank)
    return NCCL


def _interrupt_once(*_) -> None:
    """A second signal (the launcher's, after one to the whole process group) must not disturb the saving."""
    if not stopping.is_set():
        raise KeyboardInterrupt


def _end_unless(goes_on: Callable[[], bool], last_words: float) -> None:
    """From now on: interrupt this process once it is not to go on, and end it so many seconds later."""
    arguments = {"name": "launcher", "daemon": True, "args": (goes_on, last_words)}
    threading.Thread(target=_look, **arguments).start()


def _look(goes_on: Callable[[], bool], last_words: float) -> None:
    pause = threading.Event()
    while goes_on():
        pause.wait(LOOK_SECONDS)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    pause.wait(last_words)
    os._exit(1)
