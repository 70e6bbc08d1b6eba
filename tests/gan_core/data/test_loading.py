import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_core.data import loading
from gan_core.data import shards as shards_module
from gan_core.data.loading import (
    ShardFiles,
    estimate_resident_bytes,
    iterate_images,
    load_resident,
    open_webdataset,
)
from gan_core.data.pixels import encode_png, open_image, to_square
from gan_core.data.raw import collect_raw_images, read_inventory
from gan_core.data.shards import write_image_shards
from gan_core.data.tars import write_tar
from gan_core.errors import StoreError
from gan_core.store import Build, Store
from gan_core.store import store as store_module
from tests.gan_core.data.conftest import class_files, make_dataset, write_files


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_files(tmp_path / "x", class_files({"cat": 7, "dog": 6}))


def written(store, folder, monkeypatch, **changes):
    monkeypatch.setattr(shards_module, "IMAGES_PER_SHARD", 5)
    dataset = make_dataset(splits=["train"], **changes)
    raw = collect_raw_images(store, dataset, locations={"train": str(folder)}, emit=lambda line: None)
    shards = write_image_shards(store, dataset, raw, workers=1, emit=lambda line: None)
    pictures = [
        to_square(open_image((folder / row.key).read_bytes()), 8, dataset.channels, dataset.crop)
        for row in read_inventory(store, raw)
    ]
    return shards, np.stack(pictures)


@pytest.mark.parametrize("workers", [1, 2])
def test_resident_images_are_all_images_in_order(store, folder, monkeypatch, workers):
    monkeypatch.setattr(loading, "WORTH_PROCESSES", 0)
    shards, expected = written(store, folder, monkeypatch, classes=["dog", "cat"])
    resident = load_resident(store, shards, "train", workers=workers)
    assert len(resident) == 13
    assert (resident.images.dtype, resident.labels.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(resident.images.numpy(), expected)
    assert resident.labels.tolist() == [0, 1] * 6 + [1]
    assert resident.classes == ["dog", "cat"]


def test_a_decoded_shard_is_read_again_without_the_shard(store, folder, monkeypatch):
    monkeypatch.setattr(loading, "WORTH_PROCESSES", 0)
    shards, expected = written(store, folder, monkeypatch, classes=["dog", "cat"])
    for name in shards.details["splits"]["train"]["shards"][:2]:
        first = load_resident(store, shards, "train", workers=1)
        Path(store.file_path(shards, name)).unlink()
        again = load_resident(store, shards, "train", workers=1)
        np.testing.assert_array_equal(again.images.numpy(), expected)
        assert again.labels.tolist() == first.labels.tolist()
    some = load_resident(store, shards, "train", numbers=np.array([1, 3, 6, 12]))
    np.testing.assert_array_equal(some.images.numpy(), expected[[1, 3, 6, 12]])
    assert some.labels.tolist() == [1, 1, 0, 1]

    for kept in (path for path in (store.cache / "decoded").rglob("*") if path.is_file()):
        content = bytearray(kept.read_bytes())
        content[20] ^= 1
        kept.write_bytes(content)
    with pytest.raises(StoreError, match="is missing"):  # a damaged one counts as not there
        load_resident(store, shards, "train", workers=1)


@pytest.mark.parametrize("least, most", [(14, 2**31), (0, 13 * 200 - 1)])
def test_small_and_large_splits_are_not_kept_decoded(store, folder, monkeypatch, least, most):
    monkeypatch.setattr(loading, "WORTH_PROCESSES", least)
    monkeypatch.setattr(loading, "KEPT_BYTES", most)
    shards, _ = written(store, folder, monkeypatch, classes=["dog", "cat"])
    load_resident(store, shards, "train", workers=1)
    assert not (store.cache / "decoded").exists()


def test_where_nothing_can_be_kept_the_images_are_read_all_the_same(store, folder, monkeypatch):
    monkeypatch.setattr(loading, "WORTH_PROCESSES", 0)
    shards, expected = written(store, folder, monkeypatch)
    store.cache.mkdir(parents=True, exist_ok=True)
    (store.cache / "decoded").write_text("in the way")
    np.testing.assert_array_equal(load_resident(store, shards, "train", workers=1).images.numpy(), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_webdataset_and_torchs_loader_give_the_same_images(store, folder, monkeypatch, workers):
    shards, expected = written(store, folder, monkeypatch, classes=["dog", "cat"])
    loader = torch.utils.data.DataLoader(
        open_webdataset(store, shards, "train"), batch_size=None, num_workers=workers
    )
    images, labels = zip(*loader, strict=True)
    found = sorted(zip(labels, [image.tobytes() for image in map(np.asarray, images)], strict=True))
    wanted = zip([0, 1] * 6 + [1], [image.tobytes() for image in expected], strict=True)
    assert found == sorted(wanted)


def test_webdataset_of_a_shard_that_was_damaged(store, folder, monkeypatch):
    shards, _ = written(store, folder, monkeypatch)
    path = Path(store.file_path(shards, "train-000001.tar"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="does not match its manifest"):
        open_webdataset(store, shards, "train")


def test_without_classes_there_are_no_labels(store, folder, monkeypatch):
    shards, expected = written(store, folder, monkeypatch, channels=1)
    resident = load_resident(store, shards, "train")
    assert resident.labels is None
    assert resident.classes == []
    assert resident.images.shape == (13, 1, 8, 8)
    np.testing.assert_array_equal(resident.images.numpy(), expected)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("numbers", [[0], [12], [4, 5], [0, 1, 2, 3, 4, 9], range(0, 13, 3)])
def test_some_images_are_those_of_all_and_of_other_shards_nothing_is_read(
    store, folder, monkeypatch, workers, numbers
):
    monkeypatch.setattr(loading, "WORTH_PROCESSES", 0)
    shards, expected = written(store, folder, monkeypatch, classes=["dog", "cat"])
    for shard in {0, 1, 2} - {number // 5 for number in numbers}:
        store.local(shards, f"train-{shard:06d}.tar").unlink()
    some = load_resident(store, shards, "train", numbers=np.array(numbers), workers=workers)
    np.testing.assert_array_equal(some.images.numpy(), expected[list(numbers)])
    assert some.labels.tolist() == [([0, 1] * 6 + [1])[number] for number in numbers]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("room", [1, 2_000, 2**28])
def test_streaming_gives_the_same_images(store, folder, monkeypatch, workers, room):
    """Cut within shards, too, where these are larger than the room."""
    monkeypatch.setattr(loading, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(loading, "AHEAD_BYTES", room)
    shards, expected = written(store, folder, monkeypatch, classes=["cat", "dog"])
    streamed = list(iterate_images(store, shards, "train", workers=workers))
    np.testing.assert_array_equal(np.stack([image for _, image, _ in streamed]), expected)
    assert [label for _, _, label in streamed] == [0, 1] * 6 + [0]
    assert [name for name, _, _ in streamed[3:7]] == [
        "train-000000.tar:3",
        "train-000000.tar:4",
        "train-000001.tar:0",
        "train-000001.tar:1",
    ]


def test_streaming_opens_a_shard_only_when_it_is_reached(store, folder, monkeypatch):
    shards, _ = written(store, folder, monkeypatch)
    store.local(shards, "train-000002.tar").unlink()
    images = iterate_images(store, shards, "train")
    assert len([next(images) for _ in range(10)]) == 10
    with pytest.raises(StoreError, match="train-000002.tar"):
        next(images)


def test_the_estimate_is_what_the_tensors_take(store, folder, monkeypatch):
    for changes in ({"classes": ["cat", "dog"]}, {"channels": 1}):
        shards, _ = written(store, folder, monkeypatch, **changes)
        resident = load_resident(store, shards, "train")
        tensors = [tensor for tensor in (resident.images, resident.labels) if tensor is not None]
        assert estimate_resident_bytes(shards, 13) == sum(tensor.nbytes for tensor in tensors)


def test_a_damaged_shard_is_refused(store, folder, monkeypatch):
    shards, _ = written(store, folder, monkeypatch)
    path = store.local(shards, "train-000001.tar")
    content = bytearray(path.read_bytes())
    content[600] ^= 255
    path.write_bytes(content)
    with pytest.raises(StoreError, match="train-000001.tar does not match"):
        load_resident(store, shards, "train")


def test_a_split_that_is_not_there_is_named(store, folder, monkeypatch):
    shards, _ = written(store, folder, monkeypatch)
    for read in (load_resident, lambda *given: next(iterate_images(*given))):
        with pytest.raises(StoreError, match=r"no split `test` \(they have: train\)"):
            read(store, shards, "test")


def test_a_split_larger_than_the_memory_is_refused_before_it_is_read(store, folder, monkeypatch):
    shards, _ = written(store, folder, monkeypatch)
    shards.details["splits"]["train"] |= {"images": 10**12, "images_per_shard": [10**12, 0, 0]}
    store.local(shards, "train-000000.tar").unlink()
    with pytest.raises(StoreError, match="GB in memory, and .* GB are free: set the dataset's `limit` to"):
        load_resident(store, shards, "train")


def test_the_free_memory_is_that_of_the_container_where_it_is_less(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "CONTROL_GROUP", tmp_path)
    of_the_machine = loading.free_memory()
    assert of_the_machine > 10**8
    (tmp_path / "memory.current").write_text("70000000\n")
    (tmp_path / "memory.stat").write_text("anon 30000000\ninactive_file 25000000\nactive_file 15000000\n")
    (tmp_path / "memory.max").write_text("100000000\n")
    assert loading.free_memory() == 55_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert loading.free_memory() == pytest.approx(of_the_machine, rel=0.5)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_with_other_images_than_its_manifest_says_is_refused(store, folder, monkeypatch, workers):
    monkeypatch.setattr(loading, "WORTH_PROCESSES", 0)
    shards, _ = written(store, folder, monkeypatch)
    shards.details["splits"]["train"]["images_per_shard"] = [4, 6, 3]
    with pytest.raises(StoreError, match="train-000000.tar has more or fewer images than its manifest"):
        load_resident(store, shards, "train", workers=workers)


READ_AHEAD = """
import sys, threading, psutil
from gan_core.store import store as store_module
from gan_core.data import loading
from gan_core.store import Store

loading.AHEAD_BYTES, loading.WORTH_PROCESSES = 12_000_000, 0
store = Store(sys.argv[1])
own = psutil.Process()
before = largest = own.memory_info().rss
for count, (name, image, label) in enumerate(
    loading.iterate_images(store, store.require("image_shards", "noise"), "train", workers=2)
):
    if count % 50 == 0:
        largest = max(largest, own.memory_info().rss)
print(count + 1, largest - before)
"""


def test_streaming_takes_bounded_memory(tmp_path):
    """118 MB of images with 12 MB decoded ahead."""
    png, store = encode_png(np.zeros((3, 128, 128), np.uint8)), Store(tmp_path)

    def build(work: Build) -> None:
        names = [f"train-{number:06d}.tar" for number in range(4)]
        for name in names:
            write_tar(work.folder / name, ((f"{row:04d}", png, None) for row in range(600)))
        split = {"images": 2_400, "shards": names, "images_per_shard": [600] * 4}
        work.details = {"splits": {"train": split}, "classes": [], "image_size": 128, "channels": 3}

    store.produce("image_shards", "noise", config={}, inputs={}, code_version="1", build=build)
    ran = subprocess.run(
        [sys.executable, "-c", READ_AHEAD, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(loading.__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    count, grown = (int(word) for word in ran.stdout.split())
    assert count == 2_400
    assert grown < 40_000_000  # what the allocator keeps for later is in it


def test_a_shard_is_verified_once_by_whoever_comes_first(store, folder, monkeypatch):
    shards, _ = written(store, folder, monkeypatch)
    hashed = []

    def slowly(path):
        hashed.append(path.name)
        time.sleep(0.05)
        return shards.files[path.name].sha256

    monkeypatch.setattr(store_module, "sha256_of", slowly)
    files = ShardFiles(store, shards, "train")
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(files.locate, ["train-000000.tar"] * 4 + ["train-000001.tar"]))
    assert sorted(hashed) == ["train-000000.tar", "train-000001.tar"]
    assert len(set(paths)) == 2
