"""The commented files to begin with mean what they say."""

import re

import pytest

from gan_core.config import load_configs, write_starter
from gan_core.errors import ConfigError, GanError


@pytest.fixture
def started(tmp_path):
    """A folder with a starter of each kind."""
    folder = tmp_path / "configs"
    paths = [
        write_starter("dataset", "my-images", folder),
        write_starter("experiment", "my-gan", folder, dataset="my-images"),
    ]
    assert paths == [folder / "datasets" / "my-images.yaml", folder / "experiments" / "my-gan.yaml"]
    return folder


def test_starters_are_valid_and_belong_together(started):
    configs = load_configs(started)
    assert configs.mistakes == ()
    assert configs.experiment("my-gan").dataset == "my-images"
    assert configs.dataset("my-images").source.train == "~/images/my-images"


def test_what_is_commented_out_is_the_default(started):
    before = load_configs(started)
    for path in started.rglob("*.yaml"):
        text = path.read_text()
        head, grid, last = text.partition("# grid:")
        keys = re.compile(r"(?m)^( *)# ( *[a-z_]+:( [^ ].*)?)$")
        assert len(keys.findall(head)) >= 4
        path.write_text(keys.sub(r"\1\2", head) + grid + last)
        assert path.read_text() != text
    after = load_configs(started)
    assert after.mistakes == ()
    assert after.experiments == before.experiments
    assert after.datasets == before.datasets


def test_the_grid_of_a_starter_works(started):
    path = started / "experiments" / "my-gan.yaml"
    path.write_text(path.read_text().replace("# grid:\n#   seed", "grid:\n  seed"))
    configs = load_configs(started)
    assert list(configs.experiments) == ["my-gan-seed-0", "my-gan-seed-1", "my-gan-seed-2"]


def test_a_starter_never_takes_the_place_of_a_file(started):
    path = started / "datasets" / "my-images.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="my-images.yaml is there already: choose another name"):
        write_starter("dataset", "my-images", started)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "../evil", "My Set", "a/b", "-x", "x" * 101])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="is no name: it has small letters"):
        write_starter("experiment", name, tmp_path)
    with pytest.raises(ConfigError, match="is no name"):
        write_starter("experiment", "fine", tmp_path, dataset=name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GanError, match="cannot be written|is there already"):
        write_starter("dataset", "a", tmp_path / "file")
