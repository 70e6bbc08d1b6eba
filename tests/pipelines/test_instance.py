"""Dagster's folder: made with the shipped settings, and what is told where it takes nothing more."""

import errno
import os
import shutil

import pytest

from pipelines import __main__ as command
from pipelines.instance import REPOSITORY, prepare_home


def _full(source, target):
    with open(target, "w") as file:
        file.write("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))


def test_half_of_the_settings_are_not_taken_for_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(shutil, "copy", _full)
        prepare_home()
    assert list(tmp_path.iterdir()) == []
    prepare_home()
    assert (tmp_path / "dagster.yaml").read_bytes() == (REPOSITORY / "dagster.yaml").read_bytes()


def test_a_backfill_with_a_full_dagster_home_ends_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "copy", _full)
    assert command.main(["backfill", "demo-dcgan"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert str(tmp_path) in told[0] and "No space left on device" in told[0] and "DAGSTER_HOME" in told[0]
