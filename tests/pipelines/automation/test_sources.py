"""A source that changes: seen once it has settled, and nothing is asked for where nothing did."""

import os
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

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
