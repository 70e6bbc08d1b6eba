"""What is at a place that the user names: whole, and never over what is somebody else's."""

from pathlib import Path

import pytest

from gan_core.errors import GanError
from gan_core.placing import new_file, new_folder
from gan_core.store.attempts import attempt_name

MARKER = "ours.json"


def make(target, text="new", **values):
    with new_folder(target, MARKER, **values) as folder:
        (folder / MARKER).write_text(text)


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "out"
    with new_folder(target, MARKER) as folder:
        (folder / MARKER).write_text("x")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == [MARKER]
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_of_work_that_fails_nothing_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out", MARKER):
        1 / 0  # noqa: B018
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "a.png") as path:
        path.write_text("half")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken_and_ours_is_replaced_when_asked(tmp_path):
    (tmp_path / "out").mkdir()
    make(tmp_path / "out", "first")
    with pytest.raises(GanError, match="is there already.*--force"):
        make(tmp_path / "out")
    make(tmp_path / "out", "second", force=True)
    assert (tmp_path / "out" / MARKER).read_text() == "second"


def test_what_is_not_ours_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("out", "file"):
        with pytest.raises(GanError, match="name another place"):
            make(tmp_path / name, force=True)
    with pytest.raises(GanError, match="name another place$"), new_file(tmp_path / "out", force=True):
        pass
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_a_file_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "grid.png"
    for text, force in (("first", False), ("second", True)):
        with new_file(target, force=force) as path:
            path.write_text(text)
    assert target.read_text() == "second"
    with pytest.raises(GanError, match="--force"), new_file(target):
        pass


def test_what_killed_attempts_left_goes_and_that_of_others_stays(tmp_path):
    """A process number that nobody has; one that is at it, ours; and another place with a longer name."""
    host, pid, *rest = attempt_name().split("-")
    killed, alive = "-".join([host, "4194304999", *rest]), "-".join([host, pid, *rest])
    for name in (f".out.{killed}", f".out.{alive}", f".out.zip.{killed}", ".out.txt"):
        (tmp_path / name).mkdir()
    make(tmp_path / "out")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out", f".out.{alive}", f".out.zip.{killed}", ".out.txt"}


def places_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    return [tmp_path / "file" / "sub", tmp_path / "file" / "deep" / "sub", tmp_path / ("long" * 100)]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("kind", [lambda place: new_folder(place, MARKER), new_file])
def test_a_place_where_nothing_can_be_is_one_error_before_the_work(tmp_path, kind, number):
    place = places_that_cannot_be(tmp_path)[number]
    reason = "is a file" if number < 2 else "File name too long"
    with pytest.raises(GanError, match=f"cannot be made: .*{reason}; name another place"), kind(place):
        pytest.fail("the work began")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system that takes no files")
@pytest.mark.parametrize("kind", [lambda place: new_folder(place, MARKER), new_file])
def test_a_file_system_that_takes_no_files_is_one_error(kind):
    with (
        pytest.raises(GanError, match="/proc/nope cannot be made: .*; name another"),
        kind(Path("/proc/nope")),
    ):
        pytest.fail("the work began")
