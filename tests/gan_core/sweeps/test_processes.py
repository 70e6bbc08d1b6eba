"""The processes that make trials, as real ones: what they answer, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gan_core.errors import StoreError
from gan_core.sweeps.processes import Job, JobProcess, JobProcesses

REPOSITORY = Path(__file__).parents[3]
# A job of these words: it says that it has begun, and does as it is told.
SCRIPT = """
import os, sys, time
from pathlib import Path
from gan_core.errors import ConfigError
from gan_core.sweeps.processes import serve

def run(words):
    folder, what = Path(words[0]), words[1]
    (folder / what).write_text(str(os.getpid()))
    if what == "refuse":
        raise ConfigError("a wrong key:\\nremove it")
    if what == "crash":
        os._exit(3)
    if what == "wait":
        try:
            time.sleep(600)
        finally:
            (folder / "saved").write_text("")
    return "the disk is full" if what == "fail" else None

sys.exit(serve(run))
"""
COMMAND = [sys.executable, "-c", SCRIPT]


@pytest.fixture
def processes():
    with JobProcesses(COMMAND) as started:
        yield started


def ended(job: Job) -> int:
    job.wait(60.0)
    return job.poll()


def wait_for(path: Path) -> str:
    for _ in range(600):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{path.name} was not written")


def gone(pid: int) -> bool:
    """Within a minute."""
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_one_process_makes_one_job_after_the_other(processes, tmp_path):
    for what, status, reason in (
        ("do", 0, ""),
        ("fail", 1, "the disk is full"),
        ("refuse", 2, "a wrong key: remove it"),
        ("again", 0, ""),
    ):
        job = processes.start([str(tmp_path), what])
        assert ended(job) == status and job.reason == reason
    assert len({(tmp_path / what).read_text() for what in ("do", "fail", "refuse", "again")}) == 1


def test_a_job_that_is_interrupted_saves_and_its_process_takes_another(processes, tmp_path):
    job = processes.start([str(tmp_path), "wait"])
    pid = wait_for(tmp_path / "wait")
    assert job.poll() is None
    job.interrupt()
    assert ended(job) == 130 and (tmp_path / "saved").exists()
    assert ended(processes.start([str(tmp_path), "do"])) == 0
    assert (tmp_path / "do").read_text() == pid


@pytest.mark.parametrize(("end", "reason"), [("crash", "ended with status 3"), ("kill", "killed (SIGKILL)")])
def test_a_process_that_dies_is_replaced(processes, tmp_path, end, reason):
    job = processes.start([str(tmp_path), "wait" if end == "kill" else end])
    if end == "kill":
        os.kill(int(wait_for(tmp_path / "wait")), signal.SIGKILL)
    assert ended(job) and reason in job.reason
    processes.run([str(tmp_path), "do"], "it")
    with pytest.raises(StoreError, match="it could not be made: the disk is full"):
        processes.run([str(tmp_path), "fail"], "it")


def test_one_that_does_not_answer_an_interrupt_is_killed(processes, tmp_path):
    job = processes.start([str(tmp_path), "wait"])
    wait_for(tmp_path / "wait")
    job.wait(0.0)
    assert job.poll() == -signal.SIGKILL


def test_processes_end_with_the_one_that_started_them_however_that_ends(tmp_path):
    script = f"""
import time
from gan_core.sweeps.processes import JobProcesses
processes = JobProcesses({COMMAND!r})
processes.start([{str(tmp_path)!r}, "wait"])
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY)
    pid = int(wait_for(tmp_path / "wait"))
    parent.kill()
    parent.wait()
    assert gone(pid) and (tmp_path / "saved").exists()


def test_what_is_idle_ends_when_it_is_let_go(tmp_path):
    with JobProcesses(COMMAND) as processes:
        assert ended(processes.start([str(tmp_path), "do"])) == 0
        (process,) = processes.free
    assert isinstance(process, JobProcess) and process.process.returncode == 0
