"""Kinds of sources: one file for one kind, and nothing that names it elsewhere."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.config import load_configs
from gan_core.data.raw import collect_raw_images, read_inventory
from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register
from gan_core.errors import ConfigError
from tests.gan_core.data.conftest import class_files
from tests.gan_core.data.test_sources import zip_of

ROOT = Path(__file__).parents[4]
YAML = """
name: sky
source: {kind: clouds, category: cirrus}
image_size: 8
channels: 3
classes: [thin, thick]
splits: [train]
"""


@pytest.fixture
def clouds(server, tmp_path):
    """A kind of source that is defined here, and the images that it publishes."""
    files = class_files({"thin": 3, "thick": 2})
    content = zip_of(tmp_path / "x.zip", files).read_bytes()
    server.files["/pub/cirrus.zip"] = content

    @register(SOURCE_KINDS, "clouds")
    class Clouds(SourceKind):
        description = "photographs of clouds, an archive per category"
        base_url = f"{server.url}/pub"
        md5 = {"cirrus.zip": hashlib.md5(content).hexdigest()}
        example_category = "cumulus"

        def open_official(self, split):
            archive = self.download(f"{self.dataset.source.category}.zip")
            return self.open_location(str(archive), split, whole=True)

    yield files
    del SOURCE_KINDS["clouds"]


def dataset_of(tmp_path, text):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "sky.yaml").write_text(text)
    return load_configs(tmp_path).dataset("sky")


def test_a_new_kind_goes_from_yaml_to_inventory(clouds, tmp_path, store):
    raw = collect_raw_images(store, dataset_of(tmp_path, YAML), emit=lambda line: None)
    rows = {row.key: (row.class_name, row.sha256) for row in read_inventory(store, raw)}
    assert rows == {
        key: (key.partition("/")[0], hashlib.sha256(content).hexdigest()) for key, content in clouds.items()
    }


def test_a_mirror_takes_the_place_of_what_is_published(clouds, tmp_path, store, server, monkeypatch):
    server.files["/mirror/cirrus.zip"] = server.files.pop("/pub/cirrus.zip")
    monkeypatch.setenv("GAN_MIRROR_CLOUDS", f"{server.url}/mirror/")
    raw = collect_raw_images(store, dataset_of(tmp_path, YAML), emit=lambda line: None)
    assert raw.figures["images_train"] == 5


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (", category: cirrus", "", "`clouds` needs a `category`, for example `category: cumulus`"),
        ("clouds", "images", "source.kind `images` has no `category`: remove it"),
        ("kind: clouds", "kind: cluods", "no kind of source is named `cluods`; did you mean `clouds`"),
        ("kind: clouds", "kind: lsun", "source.kind `lsun` has no classes: remove `classes`"),
    ],
)
def test_what_a_kind_needs_is_checked_in_the_configuration(clouds, tmp_path, before, after, words):
    with pytest.raises(ConfigError) as caught:
        dataset_of(tmp_path, YAML.replace(before, after))
    assert words in str(caught.value)


def test_every_kind_says_what_it_is_and_the_docs_name_it():
    docs = (ROOT / "docs" / "datasets.md").read_text()
    assert {"cifar10", "digits", "images", "lsun", "mnist"} <= SOURCE_KINDS.keys()
    for name, kind in SOURCE_KINDS.items():
        assert kind.description, name
        assert f"| `{name}` |" in docs, name


def test_the_configuration_loads_without_what_reading_images_needs():
    script = (
        "import sys; from gan_core.config import Dataset\n"
        "source = {'kind': 'digits'}\n"
        "Dataset.model_validate({'name': 'x', 'source': source, 'image_size': 8, 'channels': 1})\n"
        "heavy = {'torch', 'numpy', 'PIL', 'requests', 'lmdb', 'sklearn', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
