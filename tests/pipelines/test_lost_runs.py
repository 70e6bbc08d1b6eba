"""The sensor that finds runs whose process is gone."""

import inspect
import os
import socket
import subprocess
import sys

import dagster as dg
import psutil
import pytest
from dagster._cli import api
from dagster._core.executor import in_process
from dagster._core.storage.tags import GRPC_INFO_TAG

from pipelines.lost_runs import HOST_TAG, end_lost_backfills, lost_runs


@dg.job
def some_job():
    pass


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def start(instance: dg.DagsterInstance, pid: int | None, launched: bool = True) -> dg.DagsterRun:
    tags = {GRPC_INFO_TAG: "{}"} if launched else {}
    run = instance.create_run_for_job(some_job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    if pid is not None:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    return run


def look(instance: dg.DagsterInstance) -> str:
    return lost_runs(dg.build_sensor_context(instance)).skip_message


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    return instance.get_run_by_id(run.run_id).status


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_whose_process_is_gone_has_failed_and_the_others_go_on(instance):
    lost, alive = start(instance, ended_pid()), start(instance, os.getpid())
    unknown, by_hand = start(instance, None), start(instance, ended_pid(), launched=False)
    assert look(instance) == "4 runs in progress, 1 of them lost"
    assert status(instance, lost) == dg.DagsterRunStatus.FAILURE
    for run in (alive, unknown, by_hand):
        assert status(instance, run) == dg.DagsterRunStatus.STARTED
    assert look(instance) == "3 runs in progress, 0 of them lost"


def test_a_process_that_only_got_the_same_number_is_another(instance, monkeypatch):
    run = start(instance, os.getpid())
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) + 3600)
    assert look(instance) == "1 runs in progress, 1 of them lost"
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_a_zombie_is_gone(instance):
    process = subprocess.Popen([sys.executable, "-c", ""])
    zombie = psutil.Process(process.pid)
    while zombie.status() != psutil.STATUS_ZOMBIE:
        pass
    run = start(instance, process.pid)
    look(instance)
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE
    process.wait()


def test_killed_backfills_of_this_host_are_ended(instance):
    def begin(host: str, pid: int) -> dg.DagsterRun:
        run = instance.create_run_for_job(some_job, tags={HOST_TAG: host}, status=dg.DagsterRunStatus.STARTED)
        instance.report_engine_event(f"Executing steps in process (pid: {pid})", run)
        return run

    here = socket.gethostname()
    lost, alive, elsewhere = (
        begin(here, ended_pid()),
        begin(here, os.getpid()),
        begin("elsewhere", ended_pid()),
    )
    end_lost_backfills(instance)
    assert status(instance, lost) == dg.DagsterRunStatus.FAILURE
    assert status(instance, alive) == status(instance, elsewhere) == dg.DagsterRunStatus.STARTED


def test_dagster_still_names_the_process_in_these_words():
    assert "Started process for run (pid: {pid})." in inspect.getsource(api)
    assert "Executing steps in process (pid: {os.getpid()})" in inspect.getsource(in_process)
