"""Checkpoints: kept, verified, refused, removed; on a local store and on a remote one."""

import json
import uuid
from pathlib import Path

import pytest
import torch

from gan_core.errors import TrainingError
from gan_core.store import Store
from gan_core.training.checkpoints import Checkpoints

KEY = "a" * 64


@pytest.fixture(params=["local", "remote"])
def any_store(request, tmp_path) -> Store:
    if request.param == "local":
        return Store(tmp_path / "store")
    return Store(f"memory://{uuid.uuid4().hex}", cache=tmp_path / "cache")


def checkpoints(store: Store, lines: list[str] | None = None, fingerprint: str = KEY) -> Checkpoints:
    emit = (lambda line: None) if lines is None else lines.append
    return Checkpoints(store, "trained_gan", "small", fingerprint, emit)


def state(images_seen: int) -> dict:
    return {"images_seen": images_seen, "weight": torch.full((3,), float(images_seen))}


def test_the_newest_is_loaded_and_two_are_kept(any_store):
    saving = checkpoints(any_store)
    assert saving.load_newest() is None
    for images_seen in (90, 1000, 100_000):
        saving.save(state(images_seen))
    files = sorted(path.rsplit("/", 1)[-1] for path in any_store.fs.ls(saving.folder, detail=False))
    assert files == [
        "checkpoint-000000001000.json",
        "checkpoint-000000001000.pt",
        "checkpoint-000000100000.json",
        "checkpoint-000000100000.pt",
    ]
    loaded = checkpoints(any_store).load_newest()
    assert loaded["images_seen"] == 100_000
    assert torch.equal(loaded["weight"], torch.full((3,), 100_000.0))


@pytest.mark.parametrize("damage", ["truncated", "changed", "no json", "half json"])
def test_a_damaged_one_is_reported_and_the_one_before_it_is_used(any_store, damage):
    saving = checkpoints(any_store)
    saving.save(state(100))
    saving.save(state(200))
    path = f"{saving.folder}/checkpoint-000000000200"
    content = any_store.fs.cat_file(f"{path}.pt")
    if damage == "truncated":
        any_store.fs.pipe_file(f"{path}.pt", content[:-100])
    elif damage == "changed":
        any_store.fs.pipe_file(f"{path}.pt", content[:500] + b"?" + content[501:])
    elif damage == "no json":
        any_store.fs.rm_file(f"{path}.json")
    else:
        any_store.fs.pipe_file(f"{path}.json", any_store.fs.cat_file(f"{path}.json")[:20])
    lines: list[str] = []
    loading = checkpoints(any_store, lines)
    assert loading.load_newest()["images_seen"] == 100
    assert loading.last.endswith("checkpoint-000000000100.pt")
    assert len(lines) == 1
    assert f"{path}.pt is incomplete or damaged" in lines[0]


def test_one_of_another_configuration_is_refused_by_name(any_store):
    other, mine = checkpoints(any_store, fingerprint="b" * 64), checkpoints(any_store)
    other.save(state(100))
    for extension in ("pt", "json"):
        content = any_store.fs.cat_file(f"{other.folder}/checkpoint-000000000100.{extension}")
        any_store.write_atomically(f"{mine.relative}/checkpoint-000000000100.{extension}", content)
    with pytest.raises(TrainingError, match=r"checkpoint-000000000100\.pt belongs to another configuration"):
        mine.load_newest()


def test_nothing_in_a_file_is_run(any_store, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was-run",))

    saving = checkpoints(any_store)
    saving.save({"images_seen": 100, "evil": Evil()})
    with pytest.raises(Exception, match="[Ww]eights.only"):
        saving.load_newest()
    assert not (tmp_path / "was-run").exists()


def test_remove_all(any_store):
    saving = checkpoints(any_store)
    saving.remove_all()  # nothing there: nothing to do
    saving.save(state(100))
    saving.remove_all()
    assert checkpoints(any_store).load_newest() is None
    assert not any_store.fs.exists(saving.folder)


def test_a_store_that_fails_leaves_the_last_good_one(store, monkeypatch):
    saving = checkpoints(store)
    saving.save(state(100))

    def full(relative, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        saving.save(state(200))
    assert checkpoints(store).load_newest()["images_seen"] == 100


def test_the_side_file_describes_the_checkpoint(store):
    saving = checkpoints(store)
    saving.save(state(100))
    path = Path(saving.folder) / "checkpoint-000000000100.pt"
    assert json.loads(path.with_suffix(".json").read_text())["size"] == path.stat().st_size
