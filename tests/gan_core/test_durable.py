"""Folders that are made by several at once, or whose place is taken."""

from pathlib import Path

import pytest

from gan_core.durable import make_folder


def test_a_folder_that_another_makes_at_the_same_moment_is_as_good(tmp_path, monkeypatch):
    target, asked = tmp_path / "a" / "b", []
    is_dir = Path.is_dir

    def then_another_makes_it(path: Path) -> bool:
        if path == target and not asked:
            asked.append(path)
            path.mkdir(parents=True)
            return False
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", then_another_makes_it)
    make_folder(target)
    assert asked and is_dir(target)


def test_a_file_in_its_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/a/b"):
        with pytest.raises(NotADirectoryError, match="file'$"):
            make_folder(tmp_path / folder)
