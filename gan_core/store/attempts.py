"""Attempts at an artefact: what they leave carries their process in its name, so that one can tell whether
a process is still at it or was killed."""

import hashlib
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

NAME = r"(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<moment>[0-9a-f]+)-[0-9a-f]{8}"
# What another host left, or a version without such names: nothing is written for so long by who is at it.
ABANDONED_SECONDS = 2 * 24 * 3600


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
