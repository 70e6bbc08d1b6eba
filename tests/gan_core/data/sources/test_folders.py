"""Folders on this machine, whatever lies in them: nothing is waited for or lost in silence."""

import os
import socket
import subprocess
import sys

import pytest

from gan_core.data.sources import open_sources
from gan_core.data.sources.file_collections import open_files
from gan_core.errors import SourceError
from tests.gan_core.data.conftest import make_dataset, write_files

pytestmark = pytest.mark.timeout(60)  # what waits for the writer of a pipe waits for ever


def opened(place, tmp_path):
    return open_files(str(place), tmp_path / "cache", emit=lambda line: None)


def test_pipes_sockets_and_devices_are_named_and_never_opened(tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": b"1", "b/c.png": b"2"})
    os.mkfifo(folder / "pipe.png")
    os.symlink("/dev/zero", folder / "b" / "device.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.png"))
        files = opened(folder, tmp_path)
        assert files.names() == ["a.png", "b/c.png"]
    assert sorted(files.table().problems) == [
        ("b/device.png", "a pipe, a socket or a device"),
        ("pipe.png", "a pipe, a socket or a device"),
        ("socket.png", "a pipe, a socket or a device"),
    ]


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": b"1"})
    files = opened(folder, tmp_path)
    assert files.names() == ["a.png"]
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")
    with pytest.raises(SourceError, match="`a.png` cannot be read: OSError: it is no longer a file"):
        files.read("a.png")


@pytest.mark.parametrize("name", ["x", "x.zip", "x.tar.gz"])
def test_a_location_that_is_a_pipe_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match=f"{name} is a pipe, a socket or a device"):
        opened(tmp_path / name, tmp_path)


def test_a_pipe_in_the_place_of_an_lmdb_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    os.mkfifo(tmp_path / "x" / "data.mdb")
    dataset = make_dataset(source={"kind": "lsun", "category": "bedroom"}, splits=["train"])
    with pytest.raises(SourceError, match="data.mdb is a pipe, a socket or a device"):
        open_sources(dataset, {"train": str(tmp_path / "x"), "test": None}, tmp_path / "cache")


def test_linked_folders_and_files_are_read(tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": b"1"})
    elsewhere = write_files(tmp_path / "y", {"deep/b.png": b"2", "c.png": b"3"})
    os.symlink(elsewhere, folder / "linked")
    os.symlink(elsewhere / "c.png", folder / "d.png")
    files = opened(folder, tmp_path)
    assert files.names() == ["a.png", "d.png", "linked/c.png", "linked/deep/b.png"]
    assert files.read("linked/deep/b.png") == b"2"
    assert files.table().problems == []


def test_a_link_that_leads_upwards_or_where_it_was_read_is_named_and_not_followed(tmp_path):
    folder = write_files(tmp_path / "above" / "x", {"cat/a.png": b"1", "dog/b.png": b"2"})
    os.symlink("..", folder / "cat" / "up")
    os.symlink("/", folder / "root")
    os.symlink("dog", folder / "again")  # sorted before the folder that it is
    files = opened(folder, tmp_path)
    assert files.names() == ["cat/a.png", "dog/b.png"]
    assert sorted(files.table().problems) == [
        ("again/", "a link to `dog/`, which is above or read already"),
        ("cat/up/", "a link to `.`, which is above or read already"),
        ("root/", "a link to `/`, which is above or read already"),
    ]


def test_links_that_lead_nowhere_are_named(tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": b"1"})
    os.symlink("gone.png", folder / "b.png")
    os.symlink("ring.png", folder / "ring.png")
    assert opened(folder, tmp_path).table().problems == [
        ("b.png", "a link that leads nowhere"),
        ("ring.png", "a link that leads nowhere"),
    ]


def test_names_that_are_not_utf8_are_named(tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": b"1"})
    os.makedirs(os.fsencode(folder) + b"/d\xe9j\xe0")
    for name in (b"/\xff.png", b"/d\xe9j\xe0/vu.png"):
        with open(os.fsencode(folder) + name, "wb") as file:
            file.write(b"2")
    files = opened(folder, tmp_path)
    assert files.names() == ["a.png"]
    reason = "its name is not UTF-8: rename it"
    assert sorted(files.table().problems) == [(r"\xff.png", reason), (r"d\xe9j\xe0/vu.png", reason)]
    with pytest.raises(SourceError, match=r"d\\xe9j\\xe0: the name is not UTF-8"):
        opened(os.fsdecode(os.fsencode(folder) + b"/d\xe9j\xe0"), tmp_path)


AS_NOBODY = """
import os, sys
from pathlib import Path
from gan_core.data.sources.file_collections import open_files  # with what root may read
from gan_core.errors import SourceError
os.setuid(65534)
try:
    files = open_files(sys.argv[1], Path("/nowhere"))
    print(len(files.names()), files.read("a.png"))
except SourceError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("forbidden", ["sub", "a.png"])
def test_what_may_not_be_read_is_an_error(tmp_path, forbidden):
    folder = write_files(tmp_path / "x", {"a.png": b"1", "sub/b.png": b"2"})
    for above in [folder, *folder.parents][:-2]:
        above.chmod(0o755)
    (folder / forbidden).chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(folder)], capture_output=True, text=True, check=True
    )
    expected = "sub cannot be listed: Permission denied" if forbidden == "sub" else "`a.png` cannot be read"
    assert expected in done.stdout


def test_a_folder_that_may_not_be_listed_is_an_error(tmp_path, monkeypatch):
    folder = write_files(tmp_path / "x", {"a.png": b"1", "sub/b.png": b"2"})
    scandir = os.scandir

    def forbid(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid)
    with pytest.raises(SourceError, match="sub cannot be listed: Permission denied"):
        opened(folder, tmp_path).names()


def test_a_folder_that_is_called_like_an_archive_is_a_folder(tmp_path):
    assert opened(write_files(tmp_path / "x.zip", {"a.png": b"1"}), tmp_path).names() == ["a.png"]


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    folder = write_files(tmp_path / "x", {"a.png": b""})
    os.truncate(folder / "a.png", 3 * 2**30)  # takes no space
    with pytest.raises(SourceError, match="3,221,225,472 bytes are more than GAN_MAX_IMAGE_MB=256 allows"):
        opened(folder, tmp_path).read("a.png")
