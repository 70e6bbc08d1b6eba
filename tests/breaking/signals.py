"""Signals to every step at random moments: `python -m tests.breaking.signals [PATTERN ...]`.

SIGINT, SIGTERM and SIGHUP end a command within ten seconds, in one line and with the signal's status, or it
was done already; a second SIGINT ends it at once; SIGSTOP and SIGCONT change nothing. Then the same command
goes on. `BREAKING_ROUNDS` (2) says how often each is tried.
"""

import functools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.breaking.processes import STEPS, Project, all_gone, family
from tests.breaking.trials import Case, run_trials

ANSWER_SECONDS = 10.0
NUMBERS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
STOPPED = "stopped; the same command goes on where this one stopped"


def begun(project: Project, step: str, name: str) -> tuple[Path, subprocess.Popen]:
    """A command at a random moment, once it answers signals."""
    store = project.store(step, "signalled")
    process = project.start(step, store)
    time.sleep(random.Random(name).uniform(0.3, 0.9) * project.seconds[step])
    return store, process


def stop(project: Project, step: str, number: int, name: str) -> None:
    store, process = begun(project, step, name)
    processes = family(process)
    began = time.monotonic()
    process.send_signal(number)
    status = process.wait(120)
    seconds = time.monotonic() - began
    said = project.output()
    # An interrupt that hits an `exec` within an import makes Python end as SIGINT's, whoever caught it.
    assert status in (0, 128 + number, -signal.SIGINT), f"status {status}: {said[-1500:]}"
    assert "Traceback" not in said, said[-1500:]
    if status:
        assert seconds < ANSWER_SECONDS, f"it took {seconds:.1f} s"
        assert said.strip().splitlines()[-1] == STOPPED, said[-500:]
    all_gone(processes)
    project.goes_on(step, store)


def twice(project: Project, step: str, name: str) -> None:
    store, process = begun(project, step, name)
    processes = family(process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1.2)
    began = time.monotonic()
    status = process.wait(120)
    assert time.monotonic() - began < 2, f"it took {time.monotonic() - began:.1f} s"
    # Python's own exit, which the first signal has begun, is the system's to end.
    assert status in (0, 130, -signal.SIGINT), f"status {status}"
    assert "Traceback" not in project.output(), project.output()[-1500:]
    all_gone(processes)
    project.goes_on(step, store)


def suspend(project: Project, step: str, name: str) -> None:
    store, process = begun(project, step, name)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for item in family(process):
            try:
                item.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        time.sleep(3)
    assert process.wait(300) == 0, project.output()[-1500:]
    project.goes_on(step, store)


def stop_forced(project: Project, number: int) -> None:
    """A forced training under Dagster is stopped; the next run goes on with it, without force."""
    store = project.store("sample", "signalled")  # where it is trained already
    process = project.start_asset("train", store, force=True)
    while process.poll() is None and not list(store.rglob("checkpoint-*.json")):
        time.sleep(0.02)
    processes = family(process)
    process.send_signal(number)
    process.wait(120)
    all_gone(processes)
    assert list(store.rglob("forced.json")), f"it was done before it was stopped: {project.output()[-800:]}"
    assert list((store / "trained_gan").rglob("manifest.json")), "what was published is gone"
    project.goes_on("train", store)
    assert "was begun again with force and not finished" in project.output(), project.output()[-800:]
    assert "going on from" in project.output(), project.output()[-800:]


def cases(project: Project) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for number in range(int(os.environ.get("BREAKING_ROUNDS", "2"))):
        for step in STEPS:
            for kind, value in NUMBERS.items():
                name = f"{step} {kind} {number}"
                found[name] = functools.partial(stop, project, step, value, name)
            name = f"{step} SIGINT twice {number}"
            found[name] = functools.partial(twice, project, step, name)
            name = f"{step} SIGSTOP {number}"
            found[name] = functools.partial(suspend, project, step, name)
    for kind, value in (("SIGINT", signal.SIGINT), ("SIGTERM", signal.SIGTERM)):
        found[f"forced asset train {kind}"] = functools.partial(stop_forced, project, value)
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run_trials("a signal", cases(Project(Path(folder)))))
