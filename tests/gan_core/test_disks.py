"""What is told of a disk that takes nothing more, whichever library met it."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gan_core import cli
from gan_core.disks import disk_error, telling_of_disks
from gan_core.errors import StoreError
from gan_core.store import Store
from tests.small_project import DATASET, write_config

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root; tests with a layer that raises do not")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("number", "what", "remedy"),
    [
        (errno.ENOSPC, "written", "free space there"),
        (errno.EDQUOT, "written", "quota"),
        (errno.EROFS, "written", "mount it for writing"),
        (errno.EACCES, "read or written", "mend its permissions"),
    ],
)
def test_each_cause_has_its_own_words_and_remedy(tmp_path, number, what, remedy):
    cause = OSError(number, os.strerror(number), str(tmp_path / "store" / "x.tar"))
    told = str(
        disk_error(cause, {"GAN_STORE": tmp_path / "store", "GAN_CACHE": tmp_path / "store" / "cache"})
    )
    assert told.startswith(f"{tmp_path}/store/x.tar cannot be {what}: {os.strerror(number)}")
    assert remedy in told and "name another place with GAN_STORE" in told
    assert "\n" not in told


def test_a_source_that_may_not_be_read_is_no_matter_of_the_places_that_are_written_to(tmp_path):
    cause = PermissionError(errno.EACCES, "Permission denied", "/data/photos/cat.png")
    assert disk_error(cause, {"GAN_STORE": tmp_path / "store"}) is None
    assert disk_error(RuntimeError("os error 13 while reading"), {"GAN_STORE": tmp_path / "store"}) is None


@pytest.mark.parametrize("place", ["file", "file/below", "cache"])
def test_a_file_in_the_place_of_a_folder_is_told_with_the_variable_that_names_it(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "cache").write_text("")
    with pytest.raises(OSError) as raised:
        (tmp_path / place / "x").parent.mkdir(parents=True, exist_ok=True)
    told = str(
        disk_error(raised.value, {"GAN_STORE": tmp_path / "file/below", "GAN_CACHE": tmp_path / "cache"})
    )
    assert "cannot be written: " in told and "remove the file in the place of the folder" in told
    assert ("with GAN_CACHE" if place == "cache" else "with GAN_STORE") in told
    there = FileExistsError(errno.EEXIST, "File exists", str(tmp_path))
    assert disk_error(there, {"GAN_STORE": tmp_path}) is None  # which is a folder: another mistake


def test_the_innermost_place_is_named(tmp_path):
    cause = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "cache" / "x"))
    assert "with GAN_CACHE" in str(
        disk_error(cause, {"GAN_STORE": tmp_path, "GAN_CACHE": tmp_path / "cache"})
    )


def test_a_full_disk_is_found_behind_other_errors(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    behind = RuntimeError("the picture cannot be saved")
    behind.__cause__ = full
    wrapped = ValueError("no page")
    wrapped.__context__ = behind
    assert disk_error(wrapped, {"GAN_STORE": tmp_path})
    assert disk_error(sqlite3.OperationalError("database or disk is full"), {"DAGSTER_HOME": tmp_path})
    assert disk_error(OSError("1797 requested and 55 written"), {"GAN_CACHE": tmp_path})  # numpy's tofile
    assert disk_error(ValueError("no page"), {"GAN_STORE": tmp_path}) is None
    assert disk_error(FileNotFoundError(errno.ENOENT, "x", "y"), {"GAN_STORE": tmp_path}) is None


def test_what_the_user_did_wrong_stays_as_it_is(tmp_path):
    with pytest.raises(StoreError, match="^mine$"), telling_of_disks({"GAN_STORE": tmp_path}):
        raise StoreError("mine") from OSError(errno.ENOSPC, "No space left on device")


def _fail_to_save(folder: Path) -> None:
    save_file({"weights": np.zeros(10**6)}, folder / "generator.safetensors")


def _fail_to_append(folder: Path) -> None:
    np.zeros(10**6).tofile(folder / "array.bin")


@pytest.mark.parametrize("fail", [_fail_to_save, _fail_to_append])
def test_a_step_on_a_full_disk_ends_in_one_line_and_leaves_nothing(small_disk, fail):
    store = Store(small_disk)
    step = {"config": {}, "inputs": {}, "code_version": "1"}
    with pytest.raises(
        StoreError, match=rf"^{small_disk}\S* cannot be written: No space.* GAN_STORE"
    ) as caught:
        store.produce("samples", "plain", build=lambda work: fail(work.folder), **step)
    assert "MB of 1.0 MB are free" in str(caught.value)
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
    assert store.produce("samples", "plain", build=lambda work: None, **step)


def test_a_command_on_a_full_disk_prints_one_line(tmp_path, monkeypatch, capsys):
    """By a layer under the file system's calls, so that it needs no root."""
    monkeypatch.setenv("GAN_CONFIGS", str(tmp_path / "configs"))
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    write_config(tmp_path / "configs", DATASET)
    replace = os.replace

    def full(source, target, **options):
        if str(target).endswith("manifest.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))
        return replace(source, target, **options)

    monkeypatch.setattr(os, "replace", full)
    assert cli.main(["shard", "few-digits"]) == 2
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert printed.startswith(f"StoreError: {tmp_path}/store/raw_images/few-digits/")
    assert "No space left on device" in printed and "GAN_STORE" in printed
    monkeypatch.setattr(os, "replace", replace)
    assert cli.main(["shard", "few-digits"]) == 0
    assert len(list((tmp_path / "store" / "raw_images").rglob("files-*"))) == 1


def test_a_full_standard_output_is_one_line(tmp_path):
    write_config(tmp_path / "configs", DATASET)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gan_core", "new", "dataset", "photos", "--configs", tmp_path / "configs"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("StoreError: standard output cannot be written: No space left on device")
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "configs" / "datasets" / "photos.yaml").exists()
