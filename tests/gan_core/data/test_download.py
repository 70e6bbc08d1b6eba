import errno
import hashlib
import shutil
from collections import namedtuple

import pytest

from gan_core.data import download as module
from gan_core.data.download import download
from gan_core.errors import SourceError
from tests.gan_core.power_cuts import recording, survivors

CONTENT = bytes(range(256)) * 4096  # half of it is a whole number of blocks


def test_saves_the_file_and_reports(server, tmp_path):
    server.files["/a.bin"] = CONTENT
    lines = []
    path = download(
        f"{server.url}/a.bin",
        tmp_path / "deep" / "a.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        expected_size=len(CONTENT),
        emit=lines.append,
    )
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == ["a.bin"]
    assert "downloaded" in lines[-1]


def test_a_file_that_is_there_is_not_fetched(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"here")
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin").read_bytes() == b"here"
    assert server.seen == []


def test_a_connection_that_is_cut_resumes_where_it_ended(server, tmp_path):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = ["cut"]
    path = download(f"{server.url}/a.bin", tmp_path / "a.bin", md5=hashlib.md5(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT
    assert server.ranges("/a.bin") == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_later_call_continues_the_part_of_an_earlier_one(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = ["cut", 503, 503]
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    with pytest.raises(SourceError, match="run again|Run again"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.ranges("/a.bin")[-1] == f"bytes={len(CONTENT) // 2}-"


def test_a_file_that_changed_in_between_is_fetched_from_the_start(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = ["cut", 503]
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    with pytest.raises(SourceError):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")
    server.files["/a.bin"] = CONTENT[::-1]
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin").read_bytes() == CONTENT[::-1]


def test_a_server_that_ignores_the_range_is_read_from_the_start(server, tmp_path):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = ["cut", "no range"]
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_complete_part_is_taken_without_another_byte(server, tmp_path):
    server.files["/a.bin"] = CONTENT
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    path = download(f"{server.url}/a.bin", tmp_path / "a.bin", md5=hashlib.md5(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT
    assert server.ranges("/a.bin") == [f"bytes={len(CONTENT)}-"]


def test_a_corrupt_file_is_refused_with_both_checksums_and_not_kept(server, tmp_path):
    server.files["/a.bin"] = CONTENT
    expected = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(SourceError) as caught:
        download(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=expected)
    for part in ("a.bin", expected, hashlib.sha256(CONTENT).hexdigest()):
        assert part in str(caught.value)
    assert [p for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []


def test_a_file_of_the_wrong_size_is_refused(server, tmp_path):
    server.files["/a.bin"] = CONTENT
    with pytest.raises(SourceError, match=f"{len(CONTENT):,} bytes instead of 17"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", expected_size=17)
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_says_what_to_do_instead_and_is_not_repeated(server, tmp_path, status):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = [status]
    with pytest.raises(SourceError, match=f"{status}.*Instead, set GAN_SOURCE_X"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", instead="set GAN_SOURCE_X to its path")
    assert len(server.seen) == 1


def test_a_server_that_stays_broken_is_given_up(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = [503] * 10
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    with pytest.raises(SourceError, match="503.*3 attempts"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert len(server.seen) == 3


def test_an_address_that_is_none_is_one_clear_error(tmp_path):
    with pytest.raises(SourceError, match="Instead"):
        download("nothing://here/a.bin", tmp_path / "a.bin")


def test_too_little_space_is_found_before_the_first_byte(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(SourceError, match="disk is full"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin.part").exists()


def test_a_disk_that_fills_up_is_one_clear_error(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.Progress, "advance", full)
    with pytest.raises(SourceError, match="disk is full"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("length", ["junk", "-5", "1e3", "9" * 30])
def test_a_length_that_is_none_is_one_clear_error(server, tmp_path, length):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = [{"Content-Length": length}]
    with pytest.raises(SourceError, match=f"the server sent `Content-Length: {length}`. Instead, "):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")


@pytest.mark.parametrize("given", ["", "bytes", "bytes x-9/10", "items 0-5/6", "bytes -5/6"])
def test_a_range_that_is_none_is_one_clear_error(server, tmp_path, given):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = ["cut", {"Content-Range": given}]
    with pytest.raises(SourceError, match=f"the server sent `Content-Range: {given}`. Instead, "):
        download(f"{server.url}/a.bin", tmp_path / "a.bin")


def test_a_file_of_unknown_length_has_no_share(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT
    server.faults["/a.bin"] = [{"Content-Length": ""}]
    monkeypatch.setattr(module.Progress, "advance", lambda self, count: self.emit(self.line()))
    lines = []
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin", emit=lines.append).read_bytes() == CONTENT
    assert len(lines) > 1
    assert not any("%" in line or " of " in line for line in lines)


def test_what_bears_its_name_is_whole_after_a_power_cut(server, tmp_path, monkeypatch):
    server.files["/a.bin"] = CONTENT
    folder = tmp_path / "cache"
    folder.mkdir()
    with recording(folder, monkeypatch) as disk:
        download(f"{server.url}/a.bin", folder / "new" / "a.bin")
    for event, paths in survivors(disk, tmp_path / "left"):
        left = [path / "new" / "a.bin" for path in paths]
        assert all(path.read_bytes() == CONTENT for path in left if path.exists()), event
    assert all(path.exists() for path in left)
