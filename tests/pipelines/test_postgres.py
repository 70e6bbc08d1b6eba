"""Dagster's state in PostgreSQL: a real server, private to these tests, with a password."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import sqlalchemy

from gan_core.errors import ConfigError
from pipelines.instance import REPOSITORY, open_instance
from tests.pipelines.dev_server import free_port
from tests.pipelines.test_lost_runs import end_lost_backfills, ended_pid, look, some_job, start, status
from tests.postgres_server import INITDB, USER, Postgres
from tests.small_project import DATASET, EXPERIMENT, write_config

PASSWORD = "a-secret/with:marks@"
PATIENCE = 600  # seconds

needs_postgres = pytest.mark.skipif(
    INITDB is None, reason="no PostgreSQL here: install postgresql to test with it"
)
pytestmark = [pytest.mark.postgres, needs_postgres]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres(PASSWORD, "fsync=off")
    with open(server.folder / "log", "wb") as log:
        process = subprocess.Popen(
            server.command, stdout=log, stderr=log, cwd=server.folder, **server.account
        )
    server.wait()
    yield server
    process.send_signal(signal.SIGQUIT)  # at once, without a checkpoint
    process.wait()
    server.remove()


@pytest.fixture
def database(postgres) -> str:
    """The URL of a new, empty database."""
    name = f"dagster_{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"create database {name}"))
    return postgres.url(name)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A DAGSTER_HOME with the shipped settings for PostgreSQL."""
    folder = tmp_path / "home"
    folder.mkdir()
    shipped = [REPOSITORY / "dagster.yaml", REPOSITORY / "deploy" / "postgres.yaml"]
    (folder / "dagster.yaml").write_text("".join(path.read_text() for path in shipped))
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


def count(database: str, table: str) -> int:
    with sqlalchemy.create_engine(database).connect() as connection:
        return connection.execute(sqlalchemy.text(f"select count(*) from {table}")).scalar_one()


def open_once(database: str, home: str, barrier, outcomes) -> None:
    os.environ |= {"DAGSTER_HOME": home, "DAGSTER_POSTGRES_URL": database}
    barrier.wait(PATIENCE)
    try:
        with open_instance() as instance:
            outcomes.put(len(instance.get_runs()))
    except Exception as error:
        outcomes.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("hosts", [1, 2])
def test_two_that_open_an_empty_database_at_once_both_succeed(database, home, tmp_path, hosts):
    """Of two hosts each has a home of its own, and so no lock in common."""
    homes = [home, shutil.copytree(home, tmp_path / "another")] if hosts == 2 else [home, home]
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=open_once, args=(database, str(each), barrier, outcomes)) for each in homes
    ]
    for process in processes:
        process.start()
    assert [outcomes.get(timeout=PATIENCE) for _ in processes] == [0, 0]
    for process in processes:
        process.join(PATIENCE)


def test_lost_runs_are_found(database, home, monkeypatch):
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", database)
    with open_instance() as instance:
        lost, alive = start(instance, ended_pid()), start(instance, os.getpid())
        assert look(instance) == "2 runs in progress, 1 of them lost"
        assert status(instance, lost) == dg.DagsterRunStatus.FAILURE
        assert status(instance, alive) == dg.DagsterRunStatus.STARTED
        tags = {"gan-pipelines/host": socket.gethostname()}
        killed = instance.create_run_for_job(some_job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        instance.report_engine_event(f"Executing steps in process (pid: {ended_pid()})", killed)
        end_lost_backfills(instance)
        assert status(instance, killed) == dg.DagsterRunStatus.FAILURE
    assert count(database, "runs") == 3


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("password", "password authentication failed for user"),
        ("port", "Connection refused"),
        ("driver", "No module named 'psycopg'"),
        ("not set", "DAGSTER_POSTGRES_URL"),
        ("no url", "Could not parse SQLAlchemy URL"),
    ],
)
def test_a_server_out_of_reach_is_one_line_without_the_password(
    postgres, home, monkeypatch, caplog, mistake, said
):
    given = {
        "password": postgres.url(password="wrong-secret"),
        "port": postgres.url().replace(str(postgres.port), str(free_port())),
        "driver": postgres.url().replace("+psycopg2", ""),
        "no url": f"{USER}:{PASSWORD}",
    }
    monkeypatch.setattr("dagster_postgres.utils.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    if mistake in given:
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", given[mistake])
    with pytest.raises(ConfigError) as caught:
        open_instance()
    message = str(caught.value)
    assert said in message
    assert f"{home}/dagster.yaml" in message
    assert "secret" not in message + caplog.text
    assert len(message.splitlines()) == 1


@pytest.mark.slow
def test_two_first_backfills_at_once_keep_everything_in_it(database, home, tmp_path):
    for content in (DATASET, EXPERIMENT):
        write_config(tmp_path / "configs", content)
    environment = {
        **os.environ,
        "DAGSTER_POSTGRES_URL": database,
        "GAN_CONFIGS": str(tmp_path / "configs"),
        "GAN_STORE": str(tmp_path / "store"),
    }
    command = [sys.executable, "-m", "pipelines", "backfill", "plain"]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=REPOSITORY, env=environment, **output) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert count(database, "runs where status = 'SUCCESS'") == 6  # dataset, experiment, tables: twice
    assert count(database, "event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'") > 10
    assert count(database, "asset_keys") > 5
    assert [path.name for path in home.rglob("*.db")] == []
    assert count(database, "job_ticks") == 0  # the table of the schedules is there
    assert PASSWORD not in errors
