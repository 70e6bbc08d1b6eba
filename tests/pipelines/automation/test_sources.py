"""A source that changes: seen once it has settled, and nothing is asked for where nothing did."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from gan_core.config import load_configs
from gan_core.data.changes import source_state
from gan_core.errors import SourceError
from gan_core.store import Store

PHOTOS = {
    "name": "photos",
    "source": {"kind": "images"},
    "image_size": 16,
    "channels": 3,
    "splits": ["train"],
}


class Watched:
    def __init__(self, bench, instance):
        self.bench, self.instance, self.cursor = bench, instance, None
        self.folder = bench.folder / "photos"
        self.folder.mkdir()
        self.draw("a.png", 1)
        bench.write("datasets", {**PHOTOS, "source": {"kind": "images", "train": str(self.folder)}})

    def draw(self, name: str, colour: int) -> None:
        Image.new("RGB", (16, 16), (colour, 0, 0)).save(self.folder / name)

    def make(self) -> str:
        """`raw_images` as the sensor's run makes it; its version."""
        from gan_core.data.raw import collect_raw_images

        store = Store(self.bench.folder / "store")
        return collect_raw_images(store, self.bench.configs.dataset("photos")).version

    def look(self) -> list[str]:
        sensor = self.bench.definitions.resolve_sensor_def("sources")
        result = sensor(dg.build_sensor_context(self.instance, cursor=self.cursor))
        self.cursor = result.cursor
        self.told = result.skip_reason and result.skip_reason.skip_message
        for request in result.run_requests or []:
            assert request.asset_selection == [dg.AssetKey("raw_images")]
        return [request.partition_key for request in result.run_requests or []]


@pytest.fixture
def watched(bench, instance) -> Watched:
    return Watched(bench, instance)


def test_what_was_never_made_is_not_looked_at(watched):
    sensor = watched.bench.definitions.resolve_sensor_def("sources")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    assert watched.look() == [] and watched.told == "0 sources looked at"


def test_a_change_is_read_once_and_only_when_it_has_settled(watched):
    first = watched.make()
    looks = [watched.look() for _ in range(3)]
    assert looks == [[], ["photos"], []]  # once, as it may have changed since it was made
    watched.draw("b.png", 2)
    assert watched.look() == []
    watched.draw("c.png", 3)  # still being copied
    assert watched.look() == []
    assert watched.look() == ["photos"]
    second = watched.make()
    assert second != first
    assert [watched.look() for _ in range(2)] == [[], []]

    os.utime(watched.folder / "a.png", ns=(1, 1))  # the same bytes
    assert [watched.look() for _ in range(3)] == [[], ["photos"], []]
    assert watched.make() == second  # which is what nothing follows (test_automation)

    (watched.folder / "c.png").unlink()
    (watched.folder / "b.png").unlink()
    assert [watched.look() for _ in range(3)] == [[], ["photos"], []]
    assert watched.make() == first


def test_nothing_is_asked_for_while_the_dataset_is_being_made(watched):
    watched.make()
    run = watched.bench.run(watched.instance, "prepare_dataset", "photos", dg.DagsterRunStatus.STARTED)
    assert [watched.look() for _ in range(3)] == [[], [], []]
    watched.instance.report_run_failed(run)
    assert watched.look() == ["photos"]


def test_a_source_that_is_gone_is_no_change(watched):
    watched.make()
    for _ in range(2):
        watched.look()
    watched.folder.rename(f"{watched.folder}-away")
    assert [watched.look() for _ in range(3)] == [[], [], []]
    assert "0 sources looked at; photos: " in watched.told and "cannot be reached" in watched.told
    Path(f"{watched.folder}-away").rename(watched.folder)
    assert [watched.look() for _ in range(3)] == [[], [], []]


def test_published_datasets_are_not_asked_for(watched):
    assert source_state(watched.bench.configs.dataset("few-digits")) is None


# --- places -----------------------------------------------------------------------------------------------


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
    import fsspec

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
    from gan_core.data import download

    class Answer:
        ok, headers = True, {"ETag": '"1"', field: "before"}

    monkeypatch.setattr(download, "_head", lambda url: Answer)
    first = state(tmp_path, "https://example.org/a.zip?token=one")
    assert state(tmp_path, "https://example.org/a.zip?token=other") == first
    Answer.headers = {**Answer.headers, field: "after"}
    assert state(tmp_path, "https://example.org/a.zip?token=one") != first
    Answer.ok = False
    with pytest.raises(SourceError, match="does not say which version"):
        state(tmp_path, "https://example.org/a.zip?token=geheim")
