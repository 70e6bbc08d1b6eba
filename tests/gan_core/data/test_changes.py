"""What changes with a source: wherever it is, without reading an image."""

import json
from pathlib import Path

import fsspec
import pytest

from gan_core.config import load_configs
from gan_core.data import download
from gan_core.data.changes import source_state
from gan_core.errors import SourceError
from tests.small_configs import DATASET

PHOTOS = {"name": "photos", "image_size": 16, "channels": 3, "splits": ["train"]}


def state(tmp_path: Path, place: str) -> str:
    folder = tmp_path / "configs" / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    dataset = {**PHOTOS, "source": {"kind": "images", "train": place}}
    (folder / "photos.yaml").write_text(json.dumps(dataset))
    return source_state(load_configs(tmp_path / "configs").dataset("photos"))


def test_an_archive_and_its_name(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"1")
    first = state(tmp_path, str(tmp_path / "a.zip"))
    assert state(tmp_path, str(tmp_path / "a.zip")) == first
    (tmp_path / "a.zip").write_bytes(b"12")
    assert state(tmp_path, str(tmp_path / "a.zip")) != first


def test_files_and_folders_elsewhere(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/changes/photos/a.png", b"1")
    folder, file = "memory://changes/photos", "memory://changes/photos/a.png"
    first = [state(tmp_path, folder), state(tmp_path, file)]
    memory.pipe("/changes/photos/a.png", b"12")
    second = [state(tmp_path, folder), state(tmp_path, file)]
    assert first[0] != second[0] and first[1] != second[1]
    with pytest.raises(SourceError, match="memory://changes/gone cannot be reached"):
        state(tmp_path, "memory://changes/gone")


@pytest.mark.parametrize("field", ["ETag", "Last-Modified", "Content-Length"])
def test_a_file_on_the_web(tmp_path, monkeypatch, field):
    class Answer:
        ok, headers = True, {"ETag": '"1"', field: "before"}

    monkeypatch.setattr(download, "_head", lambda url: Answer)
    first = state(tmp_path, "https://example.org/a.zip?token=one")
    assert state(tmp_path, "https://example.org/a.zip?token=s3cret-of-tomorrow") == first
    Answer.headers = {**Answer.headers, field: "after"}
    assert state(tmp_path, "https://example.org/a.zip?token=one") != first
    Answer.ok = False
    with pytest.raises(SourceError, match="does not say which version"):
        state(tmp_path, "https://example.org/a.zip?token=geheim")


def test_what_is_published_does_not_change(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "tiny.yaml").write_text(DATASET)
    assert source_state(load_configs(tmp_path).dataset("tiny")) is None
