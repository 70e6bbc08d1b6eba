"""The first opening of a DAGSTER_HOME: by several processes at the same moment, and on a full disk."""

import errno
import multiprocessing
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from gan_core.errors import StoreError
from pipelines import __main__ as command
from pipelines.instance import REPOSITORY, open_instance

AT_ONCE = 2
ROUNDS = 8  # of which most failed while nothing kept the two apart
PATIENCE = 120  # seconds


def open_many(folder: str, barrier, outcomes) -> None:
    """Open a new home a round, at the same moment as the others, and use each of its storages."""
    for number in range(ROUNDS):
        os.environ["DAGSTER_HOME"] = os.path.join(folder, str(number))
        barrier.wait(PATIENCE)
        try:
            with open_instance() as instance:
                instance.get_runs()
                instance.all_asset_keys()
                instance.all_instigator_state()
                instance.event_log_storage.get_pool_limits()
            outcomes.put(None)
        except Exception as error:
            outcomes.put(f"round {number}: {type(error).__name__}: {error}")


@pytest.fixture
def opened(tmp_path) -> list[str | None]:
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(AT_ONCE), context.Queue()
    processes = [
        context.Process(target=open_many, args=(str(tmp_path), barrier, outcomes)) for _ in range(AT_ONCE)
    ]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=PATIENCE) for _ in range(AT_ONCE * ROUNDS)]
    for process in processes:
        process.join(PATIENCE)
    return found


def test_two_that_open_a_new_home_at_once_both_succeed(opened, tmp_path):
    assert [outcome for outcome in opened if outcome] == []
    shipped = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    for number in range(ROUNDS):
        home = Path(tmp_path / str(number))
        assert yaml.safe_load((home / "dagster.yaml").read_text()) == shipped


def _full(source, target):
    with open(target, "w") as file:
        file.write("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))


def test_half_of_the_settings_are_not_taken_for_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(StoreError):
        patch.setattr(shutil, "copy", _full)
        open_instance()
    assert [path.name for path in tmp_path.iterdir()] == [".dagster.yaml.lock"]
    open_instance().dispose()
    assert (tmp_path / "dagster.yaml").read_bytes() == (REPOSITORY / "dagster.yaml").read_bytes()


def test_a_backfill_with_a_full_dagster_home_ends_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "copy", _full)
    assert command.main(["backfill", "demo-dcgan"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 2  # the plan, then the mistake
    assert str(tmp_path) in told[1] and "No space left on device" in told[1] and "DAGSTER_HOME" in told[1]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (None, "it names the environment variable DAGSTER_POSTGRES_URL, which is not set: set it, or name"),
        ("postgresql://u:s3cret@127.0.0.1:1/x", "begin the URL of PostgreSQL with `postgresql+psycopg2://`"),
        ("postgresql+psycopg2://u:s3cret@127.0.0.1:1/x", "port 1 failed: Connection refused"),
    ],
)
def test_what_is_wrong_with_postgres_is_one_line(tmp_path, monkeypatch, capsys, url, told):
    settings = [REPOSITORY / "dagster.yaml", REPOSITORY / "deploy" / "postgres.yaml"]
    (tmp_path / "dagster.yaml").write_text("".join(path.read_text() for path in settings))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr("dagster_postgres.utils.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    if url:
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    assert command.main(["follow", "demo-dcgan", "--once"]) == 2
    *before, last = capsys.readouterr().err.strip().splitlines()
    assert told in last and "s3cret" not in last
    assert before in ([], ["Dagster's database does not answer: trying again"])
