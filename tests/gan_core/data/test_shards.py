import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from gan_core.data import shards as module
from gan_core.data.pixels import decode_png, to_square
from gan_core.data.raw import collect_raw_images, read_inventory
from gan_core.data.shards import preview, sample_key, write_image_shards
from gan_core.data.sources import open_sources
from gan_core.errors import ConfigError, SourceError
from gan_core.store import Store
from tests.gan_core.data.conftest import class_files, encoded, make_dataset, write_files

LABELLED = {"classes": ["dog", "cat"]}


@pytest.fixture
def given(tmp_path) -> dict[str, str]:
    train = write_files(tmp_path / "train", class_files({"cat": 9, "dog": 7}))
    test = write_files(tmp_path / "test", class_files({"cat": 3, "dog": 3}, seed=1))
    return {"train": str(train), "test": str(test)}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "IMAGES_PER_SHARD", 5)


def write(store: Store, dataset, given, **options):
    raw = collect_raw_images(store, dataset, locations=given, emit=lambda line: None)
    return write_image_shards(store, dataset, raw, **{"workers": 1, "emit": lambda line: None, **options})


def samples_of(store: Store, shards, split: str) -> list[dict]:
    """The samples as any script would read them."""
    paths = [str(store.local(shards, name)) for name in shards.details["splits"][split]["shards"]]
    return list(webdataset.WebDataset(paths, shardshuffle=False))


def test_plain_webdataset_reads_every_image_and_class(store, given, small_shards):
    dataset = make_dataset(**LABELLED)
    shards = write(store, dataset, given)
    sources = open_sources(dataset, given, store.cache)
    for split, count in (("train", 16), ("test", 6)):
        samples = samples_of(store, shards, split)
        entries = list(sources[split].entries())
        assert len(samples) == len(entries) == count
        assert len({sample["__key__"] for sample in samples}) == count
        for sample, entry in zip(samples, entries, strict=True):
            assert int(sample["cls"]) == LABELLED["classes"].index(entry.class_name)
            image = Image.open(Path(given[split]) / entry.key)
            expected = to_square(image, 8, 3, "resize_then_crop")
            np.testing.assert_array_equal(decode_png(sample["png"]), expected)


def test_webdatasets_own_decoder_reads_them(store, given):
    shards = write(store, make_dataset(**LABELLED), given)
    path = str(store.local(shards, "train-000000.tar"))
    decoded = webdataset.WebDataset(path, shardshuffle=False).decode("rgb8").to_tuple("png", "cls")
    image, label = next(iter(decoded))
    assert (image.shape, image.dtype, label) == ((8, 8, 3), np.uint8, 0)


def test_manifest_figures_and_details(store, given, small_shards):
    shards = write(store, make_dataset(**LABELLED), given)
    assert shards.details["splits"] == {
        "train": {
            "images": 16,
            "classes": {"dog": 7, "cat": 9},
            "shards": [f"train-{number:06d}.tar" for number in range(4)],
            "images_per_shard": [5, 5, 5, 1],
        },
        "test": {
            "images": 6,
            "classes": {"dog": 3, "cat": 3},
            "shards": ["test-000000.tar", "test-000001.tar"],
            "images_per_shard": [5, 1],
        },
    }
    assert shards.details["classes"] == ["dog", "cat"]
    assert (shards.details["image_size"], shards.details["channels"]) == (8, 3)
    figures = shards.figures
    assert (figures["images_train"], figures["images_test"], figures["undecodable"]) == (16, 6, 0)
    assert (figures["shards"], figures["bytes"]) == (6, shards.total_bytes)
    assert isinstance(figures["images_per_second"], float)


def test_the_same_bytes_for_any_number_of_workers_store_and_place(given, tmp_path, small_shards):
    hashes = []
    for workers in (1, 2):
        store = Store(tmp_path / f"store-{workers}")
        shards = write(store, make_dataset(**LABELLED), given, workers=workers)
        hashes.append({name: entry.sha256 for name, entry in shards.files.items()})
    assert len(hashes[0]) == 6
    assert hashes[0] == hashes[1]


def test_headers_hold_nothing_of_time_or_person(store, given):
    shards = write(store, make_dataset(**LABELLED), given)
    with tarfile.open(store.local(shards, "train-000000.tar")) as tar:
        members = tar.getmembers()
    assert len(members) == 32
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
        assert (member.uname, member.gname) == ("", "")


def test_a_second_run_is_reused_and_another_size_is_not(store, given):
    first = write(store, make_dataset(**LABELLED), given)
    assert write(store, make_dataset(**LABELLED), given).reused
    assert not write(store, make_dataset(**LABELLED), given, force=True).reused
    bigger = write(store, make_dataset(**LABELLED, image_size=16), given)
    assert bigger.fingerprint != first.fingerprint


def test_a_shard_stays_below_its_size_even_with_noise(store, tmp_path):
    noise = {f"{i}.png": encoded(i, size=(256, 256)) for i in range(9)}
    folder = write_files(tmp_path / "x", noise)
    dataset = make_dataset(splits=["train"], image_size=256, max_shard_mb=1)
    shards = write(store, dataset, {"train": str(folder)})
    assert shards.details["splits"]["train"]["images_per_shard"] == [4, 4, 1]
    assert max(entry.size for entry in shards.files.values()) <= 10**6


def test_an_image_larger_than_a_shard_is_refused_before_work(store, tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": encoded(0)})
    dataset = make_dataset(splits=["train"], image_size=1024, max_shard_mb=1)
    with pytest.raises(ConfigError, match="max_shard_mb is 1"):
        write(store, dataset, {"train": str(folder)})


def test_unlabelled_samples_have_no_class(store, given):
    shards = write(store, make_dataset(), given)
    assert all("cls" not in sample for sample in samples_of(store, shards, "train"))
    assert shards.details["classes"] == []
    assert shards.details["splits"]["train"]["classes"] == {}


def test_grey_datasets_are_grey(store, given):
    shards = write(store, make_dataset(channels=1), given)
    assert decode_png(samples_of(store, shards, "train")[0]["png"]).shape == (1, 8, 8)


# --- images that do not decode ----------------------------------------------------------------------------


def odd_images() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Unusual images that are sound, and files that are none."""
    oriented = Image.Exif()
    oriented[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (9, 12), (9, 8, 7)).save(buffer, "JPEG", exif=oriented)
    sound = {"exif.jpg": buffer.getvalue(), "grey.png": encoded(1, mode="L")}
    sound |= {"palette.gif": encoded(2, extension="gif", mode="P"), "alpha.png": encoded(3, mode="RGBA")}
    sound |= {"cmyk.jpg": encoded(4, extension="jpg", mode="CMYK"), "bits.png": encoded(5, mode="1")}
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(buffer, "PNG")
    sound["sixteen.png"] = buffer.getvalue()
    jpeg = encoded(6, size=(64, 64), extension="jpg")
    broken = {"cut.jpg": jpeg[: len(jpeg) // 2], "empty.png": b"", "text.jpg": b"<html>404</html>"}
    flipped = bytearray(encoded(7, size=(64, 64)))
    flipped[5000] ^= 255
    return sound, broken | {"flipped.png": bytes(flipped)}


def test_odd_images_are_packed_and_broken_ones_counted_and_named(store, tmp_path):
    sound, broken = odd_images()
    folder = write_files(tmp_path / "x", sound | broken)
    lines = []
    dataset = make_dataset(splits=["train"])
    shards = write(store, dataset, {"train": str(folder)}, emit=lines.append)
    assert shards.figures["images_train"] == len(sound)
    assert shards.figures["undecodable"] == len(broken) == 4
    named = {item["key"]: item["reason"] for item in shards.details["undecodable"]}
    assert set(named) == set(broken)
    assert named["text.jpg"] == "UnidentifiedImageError: not an image of a known format"
    assert all(reason and " at 0x" not in reason for reason in named.values())  # the same in every run
    assert any("4 images do not decode" in line for line in lines)
    for sample in samples_of(store, shards, "train"):
        assert decode_png(sample["png"]).shape == (3, 8, 8)


def test_the_sizes_of_the_original_images_are_recorded(store, tmp_path, small_shards):
    sizes = [(12, 8)] * 6 + [(20, 10)] * 2 + [(8, 8)] + [(40, 9)]
    files = {}
    for number, size in enumerate(sizes):
        output = io.BytesIO()
        Image.new("RGB", size, (number, 0, 0)).save(output, "PNG")
        files[f"{number:02d}.png"] = output.getvalue()
    files["broken.png"] = b"broken"
    folder = write_files(tmp_path / "x", files)
    shards = write(store, make_dataset(splits=["train"]), {"train": str(folder)})
    assert len(shards.files) > 1
    assert shards.details["original_sizes"] == {
        "smallest": [8, 8],
        "largest": [40, 9],
        "most_common": [[12, 8, 0.6], [20, 10, 0.2], [8, 8, 0.1]],
    }


def test_a_shard_without_any_image_is_left_out(store, tmp_path, small_shards):
    files = {f"{i:02d}.png": b"broken" if 5 <= i < 10 else encoded(i) for i in range(15)}
    folder = write_files(tmp_path / "x", files)
    shards = write(store, make_dataset(splits=["train"]), {"train": str(folder)})
    assert list(shards.files) == ["train-000000.tar", "train-000002.tar"]
    assert shards.details["splits"]["train"]["shards"] == list(shards.files)
    assert shards.details["splits"]["train"]["images_per_shard"] == [5, 5]
    assert len(samples_of(store, shards, "train")) == 10


def test_names_of_undecodable_images_are_limited_but_not_their_number(store, tmp_path):
    files = {f"{i:03d}.png": b"broken" for i in range(130)}
    folder = write_files(tmp_path / "x", {**files, "x.png": encoded(0)})
    shards = write(store, make_dataset(splits=["train"]), {"train": str(folder)})
    assert shards.figures["undecodable"] == 130
    assert len(shards.details["undecodable"]) == 100


def test_a_split_in_which_nothing_decodes_is_refused(store, tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": b"broken", "b.png": b""})
    with pytest.raises(SourceError, match=r"no image of the train split .*`a.png`"):
        write(store, make_dataset(splits=["train"]), {"train": str(folder)})
    assert store.current("image_shards", "pictures") is None


def test_a_worker_with_other_libraries_is_refused(store, given, monkeypatch):
    raw = collect_raw_images(store, make_dataset(**LABELLED), locations=given, emit=lambda line: None)

    def of_another_process(function, tasks, workers):
        return map(function, (replace(task, libraries="Pillow 1") for task in tasks))

    monkeypatch.setattr(module, "map_on_cluster", of_another_process)
    with pytest.raises(ConfigError, match="has Pillow .*, the process that it works for Pillow 1: other"):
        write_image_shards(store, make_dataset(**LABELLED), raw, workers=1, emit=lambda line: None)


# --- sources that change ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_an_image_that_changed_since_the_inventory_is_refused(store, given, small_shards, workers):
    dataset = make_dataset(**LABELLED)
    raw = collect_raw_images(store, dataset, locations=given, emit=lambda line: None)
    (Path(given["train"]) / "cat" / "001.png").write_bytes(encoded(99))
    with pytest.raises(SourceError, match=r"`cat/001.png` has changed since raw_images"):
        write_image_shards(store, dataset, raw, workers=workers, emit=lambda line: None)


def test_an_image_that_is_gone_is_named(store, given):
    dataset = make_dataset(**LABELLED)
    raw = collect_raw_images(store, dataset, locations=given, emit=lambda line: None)
    (Path(given["train"]) / "cat" / "001.png").unlink()
    with pytest.raises(SourceError, match=r"cat/001.png.*raw_images again"):
        write_image_shards(store, dataset, raw, workers=1, emit=lambda line: None)


def test_shards_read_the_place_that_raw_images_found(store, given, monkeypatch):
    dataset = make_dataset(**LABELLED)
    raw = collect_raw_images(store, dataset, locations=given, emit=lambda line: None)
    monkeypatch.setenv("GAN_SOURCE_PICTURES", os.devnull)
    assert write_image_shards(store, dataset, raw, workers=1).figures["images_train"] == 16


def test_digits_end_to_end(store):
    dataset = make_dataset(
        name="digits",
        source={"kind": "digits"},
        channels=1,
        image_size=16,
        classes=list("0123456789"),
        test_fraction=0.2,
    )
    shards = write(store, dataset, None)
    raw = store.require("raw_images", "digits")
    assert shards.figures["images_train"] + shards.figures["images_test"] == 1797
    rows = [row for row in read_inventory(store, raw) if row.split == "test"]
    for sample, row in zip(samples_of(store, shards, "test"), rows, strict=True):
        assert sample["cls"].decode() == row.class_name


def test_a_remote_store(given, tmp_path):
    store = Store("memory://shards-test", cache=tmp_path / "cache")
    shards = write(store, make_dataset(**LABELLED), given)
    assert len(samples_of(store, shards, "train")) == 16


# --- keys and preview -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.b.c.png", "cat/ü ñ.jpg", "../../x.png", ".png", "x" * 300 + ".png"])
def test_keys_are_safe_in_webdataset(name):
    key = sample_key(7, name)
    assert key.startswith("00000007-")
    assert len(key) <= 90
    assert not set(key) & set("./ ")
    assert key.isascii()


@pytest.mark.parametrize("channels", [1, 3])
def test_preview_is_small_whatever_the_images(store, tmp_path, channels):
    noise = {f"{i:02d}.png": encoded(i, size=(64, 64)) for i in range(70)}
    folder = write_files(tmp_path / "x", noise)
    dataset = make_dataset(splits=["train"], image_size=64, channels=channels)
    content = preview(store, write(store, dataset, {"train": str(folder)}), count=64)
    sheet = Image.open(io.BytesIO(content))
    assert len(content) <= 60_000
    assert sheet.width == sheet.height > 64
    assert sheet.mode == ("L" if channels == 1 else "RGB")


def test_preview_shows_the_first_images_of_every_class(store, tmp_path):
    colours = {"cat": (250, 10, 10), "dog": (10, 10, 250)}
    for name, colour in colours.items():
        for number in range(3):
            path = tmp_path / "x" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), colour).save(path)
    dataset = make_dataset(splits=["train"], classes=["cat", "dog"])
    content = preview(store, write(store, dataset, {"train": str(tmp_path / "x")}), count=4)
    sheet = np.asarray(Image.open(io.BytesIO(content)))
    assert sheet.shape == (16, 16, 3)
    assert [tuple(sheet[y, x]) for y, x in ((0, 0), (0, 8), (8, 0), (8, 8))] == [*colours.values()] * 2


def test_png_and_tar_bytes_are_fixed(store, given, tmp_path):
    """Two runs in two stores, of another dataset name, give the same file."""
    digests = []
    for number in range(2):
        store = Store(tmp_path / f"s{number}")
        shards = write(store, make_dataset(name=f"x{number}", **LABELLED), given)
        digests.append(hashlib.sha256(store.local(shards, "test-000000.tar").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
