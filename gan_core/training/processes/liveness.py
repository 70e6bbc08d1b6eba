"""Whether the other processes of a training still work, while this one waits for them.

A collective's own time-out cannot tell a process that hangs from one that evaluates, saves or shares its
cores with much other work. So each process counts up in the store at which they met: always while it waits
for the others or does what may take any time, within a step only while it uses the processor. Whoever waits
looks at the others' counts, and gives up one that has stopped.
"""

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Iterator

import torch.distributed as distributed

from gan_core.errors import ConfigError, LostRankError

TIMEOUT = "GAN_RANK_TIMEOUT"
DEFAULT_SECONDS = 30.0
# How often a process looks at the others before it gives one up. They are counted, not timed: a machine that
# was suspended, or has no time for the one that looks, takes nothing off the others' time.
LOOKS = 8
# Of the time: a thread that computes gets more of a processor, however many others want it.
IDLE_SHARE = 0.0005


def seconds_of_silence() -> float:
    """How long a process may give no sign of life: what GAN_RANK_TIMEOUT says, else 30.

    Raises `ConfigError` where that is no number of at least 1.
    """
    given = os.environ.get(TIMEOUT) or DEFAULT_SECONDS
    with contextlib.suppress(ValueError):
        if 1 <= float(given) < float("inf"):
            return float(given)
    raise ConfigError(f"the environment variable {TIMEOUT} is `{given}`: give seconds, 1 or more")


class Liveness:
    """The signs of life of `size` processes, of which this is number `rank`, in a store of theirs.

    A process counts up in a thread, every 16th of `seconds`. One is given up after that many seconds, and up
    to a quarter more, in which its count has stood still.
    """

    def __init__(self, store: distributed.Store, rank: int, size: int, seconds: float):
        self.store = distributed.PrefixStore("liveness", store)
        self.rank, self.size, self.seconds = rank, size, seconds
        self.look = datetime.timedelta(seconds=seconds / LOOKS)
        self.waits, self.clock_of_step = False, None
        self.ended = threading.Event()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Within, this process gives signs of life."""
        threading.Thread(target=self._count_up, name="liveness", daemon=True).start()
        try:
            yield
        finally:
            self.ended.set()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Within, this process computes without a pause, but for waiting for the others."""
        self.clock_of_step = _clock_of_this_thread()
        try:
            yield
        finally:
            self.clock_of_step = None

    def wait_for(self, work: distributed.Work) -> None:
        """Until a collective on the CPU has ended, for however long the others live.

        Raises `LostRankError` where one of them does not, and what the collective itself raises.
        """
        self.waits = True
        try:
            before: dict[int, str] = {}
            silent = dict.fromkeys(range(self.size), 0)
            while not self._has_ended(work):
                now = {rank: self._count_of(rank) for rank in silent if rank != self.rank}
                for rank, count in now.items():
                    silent[rank] = silent[rank] + 1 if count == before.get(rank) else 0
                    if silent[rank] >= LOOKS:
                        raise self._lost(rank)
                before = now
        finally:
            self.waits = False

    def _has_ended(self, work: distributed.Work) -> bool:
        try:
            work.wait(self.look)
        except RuntimeError:
            if not work.is_completed():
                return False
            work.wait()  # raises where it has failed, and not only ended just now
        return True

    def _count_of(self, rank: int) -> str:
        key = str(rank)
        return self.store.get(key).decode() if self.store.check([key]) else ""

    def _count_up(self) -> None:
        pause = self.look.total_seconds() / 2
        count, used = 0, 0.0
        # Without its store, which may end with another process, or its thread, this one gives no more signs.
        with contextlib.suppress(RuntimeError, OSError):
            while not self.ended.wait(pause):
                clock, before = self.clock_of_step, used
                used = 0.0 if clock is None else time.clock_gettime(clock)
                if clock is None or self.waits or used - before > IDLE_SHARE * pause:
                    count += 1
                    self.store.set(str(self.rank), str(count))

    def _lost(self, rank: int) -> LostRankError:
        return LostRankError(
            f"process {rank} of {self.size} has done nothing for {self.seconds:g} s, while process "
            f"{self.rank} waited for it: it was stopped, hangs, or its machine is out of reach. Start the "
            f"training again: it goes on from its last checkpoint. If it only was slow, set {TIMEOUT} to "
            "more seconds",
            silent=rank,
        )


def _clock_of_this_thread() -> int:
    """What counts the time that the calling thread has had a processor; macOS counts that of the process."""
    if hasattr(time, "pthread_getcpuclockid"):
        return time.pthread_getcpuclockid(threading.get_ident())
    return time.CLOCK_PROCESS_CPUTIME_ID
