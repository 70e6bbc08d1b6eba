"""A power cut at any moment leaves the old state whole or the new, by a model of what a disk keeps."""

import pytest

from gan_core.store import CHECKPOINTS, Build, Manifest, Store, fingerprint
from tests.gan_core.power_cuts import recording, survivors

KEY = fingerprint({}, {}, "1")


def train(store: Store, content: bytes, *, force: bool = False) -> Manifest:
    """As a training does it: a checkpoint, then the artefact, whose publication removes the checkpoint."""

    def build(work: Build) -> None:
        store.write_atomically(f"thing/p/{KEY}/{CHECKPOINTS}/last.pt", b"state")
        store.write_atomically(f"thing/p/{KEY}/{CHECKPOINTS}/last.json", b"described")
        (work.folder / "sub").mkdir()
        (work.folder / "sub" / "data.bin").write_bytes(content)
        (work.folder / "weights").write_bytes(content)

    return store.produce("thing", "p", config={}, inputs={}, code_version="1", build=build, force=force)


def weights_in(store: Store) -> bytes | None:
    """The content of the current artefact, all of which is whole; None where there is no artefact."""
    manifest = store.current("thing", "p")
    if manifest is None:
        return None
    assert store.problems(manifest, hashes=True) == []
    return store.local(manifest, "weights").read_bytes()


def checkpoint_in(store: Store) -> bytes | None:
    """A checkpoint counts once it is described, and is whole then."""
    folder = f"thing/p/{KEY}/{CHECKPOINTS}"
    return store.read_bytes(f"{folder}/last.pt") if store.read_bytes(f"{folder}/last.json") else None


@pytest.mark.parametrize("before", [None, b"old"])
def test_what_was_sure_once_is_never_lost(tmp_path, monkeypatch, before):
    root = tmp_path / "store"
    root.mkdir()
    if before:
        train(Store(root), before)
    with recording(root, monkeypatch) as disk:
        train(Store(root), b"new", force=bool(before))
    has_checkpoint = is_new = False
    for event, paths in survivors(disk, tmp_path / "left"):
        left = [(weights_in(Store(path)), checkpoint_in(Store(path))) for path in paths]
        assert {weights for weights, _ in left} <= {before, b"new"}, event
        assert {checkpoint for _, checkpoint in left} <= {None, b"state"}, event
        goes_on = all(checkpoint or weights == b"new" for weights, checkpoint in left)
        assert goes_on or not has_checkpoint, event
        assert not is_new or all(weights == b"new" for weights, _ in left), event
        has_checkpoint = has_checkpoint or all(checkpoint for _, checkpoint in left)
        is_new = is_new or all(weights == b"new" for weights, _ in left)
    assert has_checkpoint
    assert is_new


def test_a_large_file_that_is_written_by_itself_has_its_name_once_it_is_whole(tmp_path, monkeypatch):
    root = tmp_path / "store"
    root.mkdir()
    with recording(root, monkeypatch) as disk, Store(root).writing("thing/p/shard.tar") as path:
        path.write_bytes(b"images")
    for event, paths in survivors(disk, tmp_path / "left"):
        left = {Store(path).read_bytes("thing/p/shard.tar") for path in paths}
        assert left <= {None, b"images"}, event
    assert left == {b"images"}


def test_a_table_is_the_old_one_or_the_new(tmp_path, monkeypatch):
    root = tmp_path / "store"
    root.mkdir()
    Store(root).write_atomically("report/index.html", b"old")
    with recording(root, monkeypatch) as disk:
        Store(root).write_atomically("report/index.html", b"new")
    for event, paths in survivors(disk, tmp_path / "left"):
        left = {Store(path).read_bytes("report/index.html") for path in paths}
        assert left <= {b"old", b"new"}, event
    assert left == {b"new"}
