"""Attempts at an artefact: what they leave carries their process in its name, so that one can tell whether
a process is still at it or was killed."""

import datetime
import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

NAME = r"(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<moment>[0-9a-f]+)-[0-9a-f]{8}"
# What another host left, or a version without such names: nothing is written for so long by who is at it.
ABANDONED_SECONDS = 2 * 24 * 3600
# A lease's file; also the name under which `Store.write_atomically` writes it before it is whole.
LEASE = re.compile(r"(?P<written>\.?)lease-(?P<number>\d+)\.json(\.[0-9a-f-]+)?")


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `since` and `heartbeat` are seconds since 1970 by the clock of `host`.

    `processes` names the set of processes that `pid` is counted in: two containers can share a host's name.
    `reads` names the artefacts that the work stands on, as `Manifest.place` does; None where an earlier
    version wrote the lease, which does not say.
    """

    owner: str
    host: str
    processes: str
    pid: int
    since: float
    heartbeat: float
    reads: tuple[str, ...] | None = None

    def __str__(self) -> str:
        since = datetime.datetime.fromtimestamp(self.since, datetime.UTC).isoformat(timespec="seconds")
        return f"process {self.pid} on {self.host} since {since}"

    @classmethod
    def read(cls, content: bytes | None) -> "Holder | None":
        """What a lease's file says; None where it is not whole."""
        with suppress(ValueError, TypeError):
            return cls._of(json.loads(content or b""))
        return None

    @classmethod
    def _of(cls, told: dict[str, Any]) -> "Holder":
        known = {one.name for one in fields(cls)}  # a later version may say more
        reads = told.get("reads")
        return cls(
            **{
                **{name: value for name, value in told.items() if name in known},
                "reads": None if reads is None else tuple(reads),
            }
        )

    def is_gone(self) -> bool:
        """Whether it ran here and its process has ended; False where that cannot be known from here."""
        here = (socket.gethostname(), process_namespace())
        return (self.host, self.processes) == here and has_ended(self.pid, self.heartbeat)


def attempt_name() -> str:
    """`<host>-<process>-<moment>-<random>`: one attempt of this process, for the name of a file."""
    host = hashlib.sha256(f"{socket.gethostname()} {process_namespace()}".encode()).hexdigest()[:8]
    return f"{host}-{os.getpid()}-{int(time.time()):x}-{uuid.uuid4().hex[:8]}"


def is_abandoned(name: str, last_change: Callable[[], float]) -> bool:
    """Whether nobody is at the attempt any more. `last_change`: of its files, in seconds since 1970.

    That is asked only of what a process of another host left, which cannot be looked at from here.
    """
    match = re.fullmatch(NAME, name)
    if match and match["host"] == attempt_name().split("-")[0]:
        return has_ended(int(match["pid"]), int(match["moment"], 16))
    return time.time() - last_change() > ABANDONED_SECONDS


def has_ended(pid: int, seen: float) -> bool:
    """Whether the process of this host that had the number `pid` at `seen` (s since 1970) has ended.

    False where that cannot be known.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        # One that began later has only been given the same number. The system counts starts from a boot time
        # in whole seconds.
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > seen + 2
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def process_namespace() -> str:
    """Distinguishes containers on one host, which can share its name (Linux); empty elsewhere."""
    namespace = Path("/proc/self/ns/pid")
    return str(namespace.stat().st_ino) if namespace.exists() else ""
