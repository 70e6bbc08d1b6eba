"""Joining the other processes that torchrun started, and ending with them."""

import contextlib
import datetime
import os
import signal
import threading
from collections.abc import Iterator

import psutil
import torch
import torch.distributed as distributed

from gan_core.errors import ConfigError
from gan_core.training.processes.ranks import Ranks

# How long the others wait for the first rank's evaluation or checkpoint, and for one that hangs. That a
# process has ended, they see at once.
TIMEOUT = datetime.timedelta(minutes=10)
LOOK_SECONDS = 1.0
LAST_WORDS_SECONDS = 20.0


@contextlib.contextmanager
def joined(device: str | None = None, launched_by: int | None = None) -> Iterator[Ranks]:
    """The processes that torchrun started together with this one; on its own where it started none.

    On CUDA each process of a machine takes the GPU of its local rank. SIGINT and SIGTERM raise
    `KeyboardInterrupt`, once: torchrun passes them on to every process. When torchrun has ended without a
    word (or was not started by the process `launched_by`, where that is given), this process does the same to
    itself, and ends 20 s later at the latest.

    Raises `ConfigError` where there are more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    ancestors = [os.getppid(), *([launched_by] if launched_by else [])]
    threading.Thread(target=_end_with, args=(ancestors,), name="torchrun", daemon=True).start()
    distributed.init_process_group(_choose_backend(device), timeout=TIMEOUT)
    yield Ranks(distributed.get_rank(), distributed.get_world_size())
    # After an error the process ends, and the others see that: NCCL would wait for them here.
    distributed.destroy_process_group()


def _choose_backend(device: str | None) -> str:
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    rank, processes = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    if processes > torch.cuda.device_count():
        raise ConfigError(
            f"{processes} processes were started on this machine, which shows {torch.cuda.device_count()} "
            "GPUs: start at most one a GPU, or choose the device `cpu`"
        )
    torch.cuda.set_device(rank)
    return "cpu:gloo,cuda:nccl"


def _interrupt_once(*_) -> None:
    """A second signal (torchrun's, after one to the whole process group) must not disturb the saving."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with(ancestors: list[int]) -> None:
    """Interrupt this process once its nearest ancestors are no longer these."""
    pause = threading.Event()
    while [process.pid for process in psutil.Process().parents()[: len(ancestors)]] == ancestors:
        pause.wait(LOOK_SECONDS)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    pause.wait(LAST_WORDS_SECONDS)
    os._exit(1)
