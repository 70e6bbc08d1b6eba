"""Which process of this machine has which GPU: trainings that run at once get one each, and more wait.

A lease is a lock of the kernel on a file, which ends with the last process that holds it, however it ends:
nothing has to be given back after a kill, and no clock decides. The files are in a folder of this machine, as
its GPUs are. Without a GPU there is nothing to lease.
"""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gan_core.disks import telling_of_disks
from gan_core.errors import ConfigError, LeaseError

# The GPUs that this project may use, by the names that CUDA_VISIBLE_DEVICES takes; by default those that CUDA
# shows. Names of GPUs that are not there are simulated: leased, and nothing computes on them.
DEVICES = "GAN_DEVICES"
FOLDER = "GAN_DEVICE_LEASES"
VISIBLE = "CUDA_VISIBLE_DEVICES"
QUEUE = "queue"
LOOK_SECONDS, TELL_SECONDS = 0.2, 60.0

_held: dict[str, IO[str]] = {}  # by this process: the files whose locks it has


@dataclass(frozen=True)
class DeviceState:
    """A GPU, and who has it: what for, the process and since when (a Unix time); None where it is free."""

    name: str
    what: str | None = None
    process: int | None = None
    since: float | None = None


def device_names() -> list[str]:
    """The GPUs there are to lease; none on a machine without any. Raises `ConfigError` for a name twice."""
    listed = os.environ.get(DEVICES)
    if listed is None:
        return _visible()
    names = _named(listed)
    if len(set(names)) < len(names):
        raise ConfigError(f"the environment variable {DEVICES} is `{listed}`: name each GPU once")
    return names


def leases_folder() -> Path:
    """Where the locks are: GAN_DEVICE_LEASES, else a folder of this user's for temporary files."""
    return Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir(), f"gan-devices-{os.getuid()}"))


def device_states() -> list[DeviceState]:
    """Every GPU there is to lease, and who has it."""
    return [_state(name) for name in device_names()]


@contextlib.contextmanager
def leased_devices(
    count: int, what: str, emit: Callable[[str], None], *, wait: float = float("inf")
) -> Iterator[list[str]]:
    """The names of `count` GPUs that no other process of this machine has meanwhile; `what` says what for.

    None where there are none, and where this process has some already: what it does then is part of that.
    While others have them this says so through `emit`, once a minute, and waits, up to `wait` seconds. Who
    came first is served first, so that a training in several processes gets its GPUs, too.

    Raises `ConfigError` where so many are not there at all, and `LeaseError` after `wait` seconds.
    """
    names = [] if _held else device_names()
    if not names:
        yield []
        return
    if count > len(names):
        raise ConfigError(
            f"{what} in {count} processes wants a GPU for each, and there are {len(names)} "
            f"({', '.join(names)}): start fewer processes, or name more GPUs in {DEVICES}"
        )
    with contextlib.ExitStack() as given_back:
        given_back.callback(_held.clear)
        with contextlib.ExitStack() as queue:
            waiting = _Waiting(names, what, emit, wait)
            queue.enter_context(waiting.lock(QUEUE))
            while len(_held) < count:
                for name in names:
                    if len(_held) < count and name not in _held and (file := _try_to_lock(name)):
                        _held[name] = given_back.enter_context(file)
                        _say(file, what)
                if len(_held) < count:
                    waiting.pause()
        yield list(_held)


@contextlib.contextmanager
def on_a_device(what: str, emit: Callable[[str], None]) -> Iterator[None]:
    """Within, this thread computes on a GPU that no other process of this machine has; `leased_devices` says
    more."""
    with leased_devices(1, what, emit) as names, _current(names):
        yield


def environment_of(names: list[str]) -> dict[str, str]:
    """What a process that is started is told, so that it sees these GPUs alone; nothing without any."""
    return {VISIBLE: ",".join(names), DEVICES: ""} if names else {}


def held_locks() -> list[int]:
    """The file descriptors of this process's locks. A process that is started with them has them, too, so
    that its GPUs are not given away before it has ended."""
    return [file.fileno() for file in _held.values()]


# -- inside


def _named(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _visible() -> list[str]:
    """The GPUs that CUDA shows: as many as it finds, whatever the variable names (-1 hides them all)."""
    import torch

    count = torch.cuda.device_count()
    return _named(os.environ.get(VISIBLE) or ",".join(map(str, range(count))))[:count]


@contextlib.contextmanager
def _current(names: list[str]) -> Iterator[None]:
    """CUDA's current device: not its environment, which the driver has read by now."""
    if not names:
        yield
        return
    import torch

    order = _visible()
    if names[0] not in order:
        yield  # simulated
        return
    with torch.cuda.device(order.index(names[0])):
        yield


class _Waiting:
    """One that waits for some of these GPUs: says so, and for how long it will."""

    def __init__(self, names: list[str], what: str, emit: Callable[[str], None], wait: float):
        self.names, self.what, self.emit = names, what, emit
        self.until, self.tell_at = time.monotonic() + wait, time.monotonic() + 2 * LOOK_SECONDS

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        while (file := _try_to_lock(name)) is None:
            self.pause()
        with file:
            yield

    def pause(self) -> None:
        now = time.monotonic()
        if now >= self.until:
            raise LeaseError(f"{self.what}: no GPU became free in time; {self._users()}")
        if now >= self.tell_at:
            self.tell_at = now + TELL_SECONDS
            self.emit(f"{self.what} waits for a GPU: {self._users()}")
        time.sleep(LOOK_SECONDS)

    def _users(self) -> str:
        return ", ".join(_in_words(_state(name)) for name in self.names)


def _try_to_lock(name: str) -> IO[str] | None:
    """The open file of this name, locked; None where another has it."""
    folder = leases_folder()
    with telling_of_disks({FOLDER: folder}):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = open(_path(name), "a+", encoding="utf-8")  # noqa: SIM115 (it is held)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _path(name: str) -> Path:
    return leases_folder() / f"{name.replace('/', '-')}.lock"


def _say(file: IO[str], what: str) -> None:
    """Write down who has the lock, for those who wait."""
    file.truncate(0)
    file.write(json.dumps({"what": what, "process": os.getpid(), "since": time.time()}))
    file.flush()


def _state(name: str) -> DeviceState:
    if name in _held:
        return _told(name)
    file = _try_to_lock(name)
    if file is None:
        return _told(name)
    file.close()
    return DeviceState(name)


def _told(name: str) -> DeviceState:
    """What the one who has it has written down; it may be about to."""
    with contextlib.suppress(OSError, ValueError):
        return DeviceState(name, **json.loads(_path(name).read_text()))
    return DeviceState(name, what="another process")


def _in_words(state: DeviceState) -> str:
    if state.what is None:
        return f"GPU {state.name} is free"
    process = f" (process {state.process})" if state.process else ""
    return f"GPU {state.name} has {state.what}{process}"
