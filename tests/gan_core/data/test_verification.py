import tracemalloc

import numpy as np
import pytest

from gan_core.data import verification as module
from gan_core.data.pixels import encode_png
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.data.tars import read_tar, write_tar
from gan_core.data.verification import CheckedShard, verify_image_shards
from gan_core.store import Store, sha256_of
from tests.gan_core.data.conftest import class_files, encoded, make_dataset, write_files

LABELLED = {"classes": ["cat", "dog"]}


def written(store, tmp_path, train, test, **changes):
    given = {
        "train": str(write_files(tmp_path / "train", train)),
        "test": str(write_files(tmp_path / "test", test)),
    }
    dataset = make_dataset(**{**LABELLED, **changes})
    raw = collect_raw_images(store, dataset, locations=given, emit=lambda line: None)
    return write_image_shards(store, dataset, raw, workers=1, emit=lambda line: None)


@pytest.fixture
def shards(store, tmp_path):
    train = class_files({"cat": 30, "dog": 10})
    return written(store, tmp_path, train, class_files({"cat": 4, "dog": 4}, seed=1))


def verify(store, shards):
    return verify_image_shards(store, shards, emit=lambda line: None)


def test_sound_shards(store, shards):
    report = verify(store, shards)
    assert report.sound
    assert report.problems == []
    assert report.images == {"train": 40, "test": 8}
    assert report.classes == {"train": {"cat": 30, "dog": 10}, "test": {"cat": 4, "dog": 4}}
    assert (report.smallest_share, report.largest_share) == (0.25, 0.75)
    assert (report.duplicates, report.duplicate_keys) == (0, [])


def test_one_percent_cut_off(store, shards):
    path = store.local(shards, "train-000000.tar")
    content = path.read_bytes()
    path.write_bytes(content[: int(0.99 * len(content)) - 10_240])
    report = verify(store, shards)
    assert not report.sound
    assert any("sha256" in problem and str(path) in problem for problem in report.problems)
    assert any("not complete" in problem for problem in report.problems)


@pytest.mark.parametrize("position", [100, 700, 5_000, 20_000])
def test_one_flipped_byte(store, shards, position):
    path = store.local(shards, "train-000000.tar")
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    report = verify(store, shards)
    assert not report.sound
    assert any("sha256" in problem for problem in report.problems)


def test_a_deleted_shard(store, shards):
    path = store.local(shards, "test-000000.tar")
    path.unlink()
    report = verify(store, shards)
    assert any("test-000000.tar is missing" in problem for problem in report.problems)
    assert any("test has 0 images, its manifest says 8" in problem for problem in report.problems)


def replace(store, shards, samples, split="train"):
    """Put other samples into a split's only shard, with the hash that fits them."""
    path = store.local(shards, f"{split}-000000.tar")
    write_tar(path, samples)
    shards.files[f"{split}-000000.tar"].sha256 = sha256_of(path)


def test_wrong_contents_under_a_right_hash(store, shards):
    samples = list(read_tar(store.local(shards, "train-000000.tar")))
    samples[3] = (samples[3][0], b"no png", samples[3][2])
    samples[5] = (samples[5][0], encode_png(np.zeros((3, 9, 9), np.uint8)), samples[5][2])
    samples[7] = (samples[7][0], samples[7][1], 2)
    samples[9] = (samples[9][0], samples[9][1], None)
    replace(store, shards, samples[:-1])
    problems = verify(store, shards).problems
    for words in ("does not decode", "(3, 9, 9) instead of (3, 8, 8)", "class 2", "has no .cls"):
        assert sum(words in problem for problem in problems) == 1, words
    assert any("train has 39 images, its manifest says 40" in problem for problem in problems)
    assert any("`cat` instead of" in problem for problem in problems)


def test_copies_across_the_splits_are_counted_and_named(store, tmp_path):
    twin = encoded(500)
    train = {**class_files({"cat": 3, "dog": 3}), "cat/twin.png": twin, "dog/again.png": twin}
    test = {**class_files({"cat": 2, "dog": 2}, seed=1), "dog/copy.png": twin}
    report = verify(store, written(store, tmp_path, train, test))
    assert report.sound  # a copy is no damage
    assert report.duplicates == 2
    named = {tuple(key.partition("-")[2] for key in keys) for keys in report.duplicate_keys}
    assert named == {("cat-twin", "dog-copy"), ("dog-again", "dog-copy")}


def test_unlabelled_shards(store, tmp_path):
    train, test = {"a.png": encoded(0), "b.png": encoded(1)}, {"c.png": encoded(2)}
    report = verify(store, written(store, tmp_path, train, test, classes=None))
    assert report.sound
    assert (report.smallest_share, report.classes) == (None, {"train": {}, "test": {}})


def test_what_does_not_decode_is_no_copy_of_what_does_not_decode(store, tmp_path):
    shards = written(
        store, tmp_path, class_files({"cat": 2, "dog": 2}), class_files({"cat": 2, "dog": 2}, seed=1)
    )
    for split in ("train", "test"):
        samples = list(read_tar(store.local(shards, f"{split}-000000.tar")))
        samples[1] = (samples[1][0], b"no png", samples[1][2])
        replace(store, shards, samples, split)
    report = verify(store, shards)
    assert len([problem for problem in report.problems if "does not decode" in problem]) == 2
    assert (report.images, report.duplicates) == ({"train": 4, "test": 4}, 0)


def test_looking_for_copies_takes_little_memory():
    """A million training images, a tenth of them in test too: at most 50 bytes per image, hashes included."""
    numbers = np.random.default_rng(0).integers(1, 2**63, 1_000_000, dtype=np.uint64)
    tracemalloc.start()
    try:
        train = [CheckedShard(hashes=part.copy()) for part in np.array_split(numbers, 200)]
        test = [CheckedShard(hashes=part.copy()) for part in np.array_split(numbers[::10], 20)]
        module.NAMED_DUPLICATES, named = 0, module.NAMED_DUPLICATES
        count, keys = module._duplicates({"train": train, "test": test})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        module.NAMED_DUPLICATES = named
    assert (count, keys) == (len(np.unique(numbers[::10])), [])
    assert peak < 50 * len(numbers)


def test_shards_are_fetched_one_by_one_from_a_store_elsewhere(tmp_path):
    store = Store(f"memory://{tmp_path.name}", cache=tmp_path / "cache")
    shards = written(
        store, tmp_path, class_files({"cat": 3, "dog": 3}), class_files({"cat": 1, "dog": 1}, seed=1)
    )
    store.fs.rm_file(store.file_path(shards, "test-000000.tar"))
    report = verify(store, shards)
    assert any("test-000000.tar is missing" in problem for problem in report.problems)
    assert report.images == {"train": 6, "test": 0}
