"""Runs of raw_images and image_shards that are killed, side by side with others, or without room."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from gan_core.data import raw as raw_module
from gan_core.data import shards as module
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.data.sources.images import ImageFiles
from gan_core.errors import StoreError
from gan_core.store import Manifest, Store
from tests.gan_core.data.conftest import encoded, make_dataset, write_files

IMAGES, PART, PER_SHARD = 200, 20, 5
DATASET = {"splits": ["train"], "image_size": 48}
PATIENCE = 120  # seconds


@pytest.fixture
def images(tmp_path) -> Path:
    return write_files(tmp_path / "images", {f"{i:03d}.png": encoded(i, (64, 60)) for i in range(IMAGES)})


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(raw_module, "PART", PART)
    monkeypatch.setattr(module, "IMAGES_PER_SHARD", PER_SHARD)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def store(request, tmp_path) -> Store:
    return Store(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_store")


def start(store: Store, images: Path, step: str, *, workers: int = 1, force: bool = False, before: str = ""):
    """A process that makes one of the two steps, slowly enough to be killed."""
    script = f"""
        import time
        from gan_core.data import raw, shards
        from gan_core.data.sources.images import ImageFiles
        from gan_core.store import Store
        from tests.gan_core.data.conftest import make_dataset

        {before}
        raw.PART, shards.IMAGES_PER_SHARD = {PART}, {PER_SHARD}
        read = ImageFiles.read
        ImageFiles.read = lambda self, entry: time.sleep(0.01) or read(self, entry)
        store, dataset = Store({store.url!r}, {str(store.cache)!r}), make_dataset(**{DATASET!r})
        if {step!r} == "raw":
            raw.collect_raw_images(store, dataset, locations={{"train": {str(images)!r}}}, force={force})
        else:
            made = store.require("raw_images", "pictures")
            shards.write_image_shards(store, dataset, made, workers={workers}, force={force})
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, text=True
    )


def collect(store: Store, images: Path, **options) -> Manifest:
    given = {"train": str(images)}
    options = {"emit": lambda line: None, **options}
    return collect_raw_images(store, make_dataset(**DATASET), locations=given, **options)


def write(store: Store, **options) -> Manifest:
    raw = store.require("raw_images", "pictures")
    options = {"workers": 1, "emit": lambda line: None, **options}
    return write_image_shards(store, make_dataset(**DATASET), raw, **options)


def files(store: Store, asset: str) -> list[str]:
    """What lies in the store under an asset, without what names an attempt at random."""
    store.fs.invalidate_cache()  # others write there too
    found = store.fs.find(f"{store.root}/{asset}")
    return sorted(re.sub(r"files-[\w-]+", "files", path[len(store.root) :]) for path in found)


def without_times(manifest: Manifest) -> dict:
    content = json.loads(manifest.model_dump_json())
    content["figures"].pop("images_per_second", None)
    return {**content, "created_at": None, "seconds": None}


def wait_for(condition, process: subprocess.Popen) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process: subprocess.Popen) -> None:
    assert process.poll() is None, "it was done before it could be killed"
    process.kill()
    process.communicate()


def count(store: Store, asset: str, ending: str) -> int:
    return sum(name.endswith(ending) for name in files(store, asset))


# --- the hashing pass -------------------------------------------------------------------------------------


def test_a_killed_hashing_pass_goes_on_where_it_stopped(store, images, tmp_path, monkeypatch):
    untouched = Store(tmp_path / "untouched")
    expected = collect(untouched, images)
    process = start(store, images, "raw")
    wait_for(lambda: count(store, "raw_images", ".parquet") >= 3, process)
    kill(process)
    done = count(store, "raw_images", ".parquet")
    assert store.current("raw_images", "pictures") is None
    reads, read = [], ImageFiles.read
    monkeypatch.setattr(ImageFiles, "read", lambda self, entry: reads.append(entry.key) or read(self, entry))
    made = collect(store, images)
    assert len(reads) == IMAGES - done * PART
    assert made.fingerprint == expected.fingerprint
    assert made.files["inventory.parquet"].sha256 == expected.files["inventory.parquet"].sha256
    assert files(store, "raw_images") == files(untouched, "raw_images")  # no notes are left


@pytest.mark.parametrize("damage", ["truncated", "of other images"])
def test_notes_that_do_not_fit_are_not_used(tmp_path, images, monkeypatch, damage):
    store = Store(tmp_path / "store")
    process = start(store, images, "raw")
    wait_for(lambda: count(store, "raw_images", ".parquet") >= 3, process)
    kill(process)
    notes = sorted(Path(store.root).rglob("hashed-*/*.parquet"))
    if damage == "truncated":
        notes[0].write_bytes(notes[0].read_bytes()[:-10])
    else:
        notes[0].write_bytes(notes[1].read_bytes())
    assert collect(store, images).version == collect(Store(tmp_path / "untouched"), images).version


def test_a_forced_pass_does_not_trust_the_notes_of_another(tmp_path, images, monkeypatch):
    store = Store(tmp_path / "store")
    process = start(store, images, "raw")
    wait_for(lambda: count(store, "raw_images", ".parquet") >= 3, process)
    kill(process)
    reads, read = [], ImageFiles.read
    monkeypatch.setattr(ImageFiles, "read", lambda self, entry: reads.append(entry.key) or read(self, entry))
    collect(store, images, force=True)
    assert len(reads) == IMAGES


# --- the shards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_kill_only_the_missing_shards_are_made(store, images, tmp_path, monkeypatch, workers):
    untouched = Store(tmp_path / "untouched")
    collect(untouched, images)
    expected = write(untouched)
    collect(store, images)
    process = start(store, images, "shards", workers=workers)
    wait_for(lambda: count(store, "image_shards", ".tar.json") >= 4, process)
    kill(process)
    assert store.current("image_shards", "pictures") is None
    time.sleep(2.5)  # until its workers have ended too
    done = count(store, "image_shards", ".tar.json")
    tasks, pack = [], module.pack_shard
    monkeypatch.setattr(module, "pack_shard", lambda task: tasks.append(task) or pack(task))
    lines = []
    made = write(store, emit=lines.append)
    assert 4 <= done < IMAGES / PER_SHARD
    assert len(tasks) == IMAGES / PER_SHARD - done
    assert any(f"{done} of 40 shards are there from a run that was cut off" in line for line in lines)
    assert without_times(made) == without_times(expected)
    assert store.problems(made, hashes=True) == []
    assert files(store, "image_shards") == files(untouched, "image_shards")
    assert not list((store.cache / "outgoing").glob("*"))


@pytest.mark.slow
def test_many_kills_end_in_the_bytes_of_an_untouched_run(tmp_path, images):
    untouched, store = Store(tmp_path / "untouched"), Store(tmp_path / "store")
    collect(untouched, images)
    expected = write(untouched)
    collect(store, images)
    for wanted in (2, 9, 17, 30):
        process = start(store, images, "shards", workers=2)
        wait_for(lambda wanted=wanted: count(store, "image_shards", ".tar.json") >= wanted, process)
        kill(process)
    assert without_times(write(store)) == without_times(expected)
    assert files(store, "image_shards") == files(untouched, "image_shards")


@pytest.mark.parametrize("damage", ["tar cut", "tar gone", "record cut", "record of another plan"])
def test_shards_that_are_not_as_recorded_are_made_again(tmp_path, images, damage):
    untouched, store = Store(tmp_path / "untouched"), Store(tmp_path / "store")
    collect(untouched, images)
    collect(store, images)
    process = start(store, images, "shards")
    wait_for(lambda: count(store, "image_shards", ".tar.json") >= 2, process)
    kill(process)
    tar = next(Path(store.root).rglob("train-000000.tar"))
    record = tar.with_name(f"{tar.name}.json")
    if damage == "tar cut":
        os.truncate(tar, 1000)
    elif damage == "tar gone":
        tar.unlink()
    elif damage == "record cut":
        os.truncate(record, 30)
    else:
        record.write_text(record.read_text().replace('"shard":["train",0,0,5]', '"shard":["train",0,0,7]'))
    assert without_times(write(store)) == without_times(write(untouched))


def test_a_forced_run_that_is_killed_leaves_the_old_shards_and_goes_on_when_forced_again(
    store, images, monkeypatch
):
    collect(store, images)
    old = write(store)
    process = start(store, images, "shards", force=True)
    wait_for(lambda: count(store, "image_shards", ".tar.json") >= 3, process)
    kill(process)
    assert write(store).reused
    assert store.problems(store.current("image_shards", "pictures"), hashes=True) == []
    done = count(store, "image_shards", ".tar.json")
    tasks, pack = [], module.pack_shard
    monkeypatch.setattr(module, "pack_shard", lambda task: tasks.append(task) or pack(task))
    new = write(store, force=True)
    assert len(tasks) == IMAGES / PER_SHARD - done
    assert new.version == old.version
    assert count(store, "image_shards", ".tar") == len(new.files)  # the old ones are removed
    assert store.problems(new, hashes=True) == []


def test_two_writers_at_once_make_one_sound_artefact(store, images):
    collect(store, images)
    processes = [start(store, images, "shards", workers=2) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    made = store.require("image_shards", "pictures")
    assert store.problems(made, hashes=True) == []
    assert len([name for name in files(store, "image_shards") if "/shards-" in name]) == len(made.files)


def test_shards_that_vanish_before_they_are_published_are_an_error(tmp_path, images, monkeypatch):
    store = Store(tmp_path / "store")
    collect(store, images)
    describe = module._describe

    def remove_one(work, *arguments):
        describe(work, *arguments)
        next(Path(store.root).rglob("train-000007.tar")).unlink()

    monkeypatch.setattr(module, "_describe", remove_one)
    with pytest.raises(StoreError, match=r"train-000007.tar is not there as it was written.*run `python"):
        write(store)
    assert store.current("image_shards", "pictures") is None
    monkeypatch.undo()


def test_workers_end_soon_after_their_parent_was_killed(tmp_path, images):
    store = Store(tmp_path / "store")
    collect(store, images)
    process = start(store, images, "shards", workers=2)
    wait_for(lambda: count(store, "image_shards", ".tar.json") >= 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_clear_error_and_the_run_can_go_on(tmp_path, images, workers):
    store = Store(tmp_path / "store")
    collect(store, images)
    process = start(
        store,
        images,
        "shards",
        workers=workers,
        before="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))",
    )
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert re.search(r"StoreError: \S+ cannot be written: File too large", errors)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    write(store)
    assert count(store, "image_shards", ".json") == 3  # manifest, its copy, and pointer
