"""`kill -9` of every step at random moments: `python -m tests.breaking.kills [PATTERN ...]`.

Killed are the process, one of its children, or all of them. Then nothing runs on, and the same command ends
with the bytes of an undisturbed run. `BREAKING_ROUNDS` (5) says how often each is tried.
"""

import contextlib
import functools
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.breaking.processes import STEPS, Project, all_gone, family
from tests.breaking.trials import Case, run_trials

WHOM = ("parent", "child", "tree")
ASSETS = ("shard", "train")
ASSET_SECONDS = 15.0


def kill(project: Project, step: str, whom: str, number: int, *, as_asset: bool) -> None:
    chance = random.Random(f"{step} {whom} {number}")
    store = project.store(step, "killed")
    process = project.start_asset(step, store) if as_asset else project.start(step, store)
    time.sleep(chance.uniform(0.05, 1.0) * (ASSET_SECONDS if as_asset else project.seconds[step]))
    processes = family(process)
    victims = {"parent": processes[:1], "child": processes[1:] and [chance.choice(processes[1:])]}
    for victim in victims.get(whom, processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    if whom == "child":
        process.wait(300)  # it ends well, or says that a process was killed
    process.wait(60)
    all_gone(processes)
    project.goes_on(step, store)


def cases(project: Project) -> dict[str, Case]:
    rounds = int(os.environ.get("BREAKING_ROUNDS", "5"))
    found: dict[str, Case] = {}
    for number in range(rounds):
        for step in STEPS:
            for whom in WHOM if step == "shard" else ("parent", "tree"):
                name = f"{step} {whom} {number}"
                found[name] = functools.partial(kill, project, step, whom, number, as_asset=False)
    for number in range(max(1, rounds // 2)):
        for step in ASSETS:
            for whom in WHOM:
                name = f"asset {step} {whom} {number}"
                found[name] = functools.partial(kill, project, step, whom, number, as_asset=True)
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run_trials("kill -9", cases(Project(Path(folder)))))
