"""Which files of a place are images, and what is left out."""

import os

import pytest

from gan_core.data.raw import collect_raw_images
from gan_core.data.sources import open_sources
from gan_core.errors import SourceError
from gan_core.evaluation.inputs.paths import PathImages
from tests.gan_core.data.conftest import class_files, encoded, make_dataset, write_files
from tests.gan_core.data.test_sources import tar_of, zip_of

TRAIN_ONLY = {"splits": ["train"]}


@pytest.fixture
def look(tmp_path):
    """Opens the train split; what is told is kept in `look.lines`."""

    def open_train(place, **dataset):
        given = {"train": str(place), "test": None}
        dataset = make_dataset(**{**TRAIN_ONLY, **dataset})
        return open_sources(dataset, given, tmp_path / "cache", emit=open_train.lines.append)["train"]

    open_train.lines = []
    return open_train


OTHERS = {"x/b.heic": b"1", "x/c.CR2": b"2", "x/d.svg": b"3", "x/e.HEIC": b"4"}


@pytest.mark.parametrize("pack", [write_files, zip_of, tar_of])
def test_images_that_are_not_read_are_counted_and_named(look, tmp_path, pack):
    files = {f"x/{index:03d}.png": encoded(0) for index in range(396)}
    name = {write_files: "given", zip_of: "given.zip", tar_of: "given.tar"}[pack]
    source = look(pack(tmp_path / name, {**files, **OTHERS, "x/readme.txt": b"", "x/labels.csv": b""}))
    assert len(list(source.entries())) == source.count() == 396
    assert dict(source.left_out).keys() == OTHERS.keys()
    (line,) = look.lines
    for words in (
        "4 images are left out",
        "`x/b.heic` and 1 more (`.heic` is a format that is not read)",
        "`x/c.CR2` (`.cr2` is a format that is not read)",
        "`x/d.svg` (`.svg` is a format that is not read)",
    ):
        assert words in line


def test_more_than_one_in_a_hundred_is_an_error(look, tmp_path):
    files = {f"{index:03d}.png": encoded(0) for index in range(98)}
    folder = write_files(tmp_path / "x", {**files, "b.heic": b""})
    with pytest.raises(SourceError, match=r"1 of 99 images cannot be read, more than 1%: `b.heic`"):
        look(folder)
    write_files(folder, {"099.png": encoded(0)})
    assert look(folder).left_out == [("b.heic", "`.heic` is a format that is not read")]


def test_a_place_with_none_but_such_images_says_so(look, tmp_path):
    with pytest.raises(SourceError, match="no images .*, but 2 that cannot be read: `a.nef` and 1 more"):
        look(write_files(tmp_path / "x", {"a.nef": b"", "b.nef": b""}))


def test_each_split_counts_what_lies_in_it(tmp_path):
    files = {f"{split}/{index:03d}.png": encoded(0) for split in ("train", "val") for index in range(99)}
    folder = write_files(tmp_path / "x", {**files, "val/b.heic": b"", "c.heic": b""})
    sources = open_sources(make_dataset(), {"train": str(folder), "test": None}, tmp_path / "cache")
    assert [len(sources[split].left_out) for split in ("train", "test")] == [0, 1]


def test_pipes_dangling_links_and_hidden_files(look, tmp_path):
    files = {f"{index:03d}.png": encoded(0) for index in range(300)}
    folder = write_files(tmp_path / "x", {**files, ".hidden.heic": b""})
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "control.sock")  # no image by its name
    os.symlink("gone", folder / "more")  # may have been a folder of images
    assert sorted(look(folder).left_out) == [
        ("more", "a link that leads nowhere"),
        ("pipe.png", "a pipe, a socket or a device"),
    ]


def test_images_that_are_too_large_are_left_out(look, tmp_path, monkeypatch):
    files = {f"{index:03d}.png": encoded(0) for index in range(100)}
    folder = write_files(tmp_path / "x", {**files, "x.png": bytes(2**20)})
    assert look(folder).left_out == []
    before = look(folder).signature()
    monkeypatch.setenv("GAN_MAX_IMAGE_MB", "0.5")
    assert look(folder).left_out == [("x.png", "1,048,576 bytes are more than GAN_MAX_IMAGE_MB=0.5 allows")]
    assert look(folder).signature() != before  # so that what is known of the place is not used


def test_images_of_a_tar_that_grows_are_left_out_and_never_read(look, tmp_path, store):
    files = {f"{index:03d}.png": encoded(index) for index in range(100)}
    archive = tar_of(tmp_path / "x.tar.gz", {**files, "bomb.png": bytes(300 * 2**20)}, "w:gz")
    assert archive.stat().st_size < 2**20
    source = look(archive)
    assert [name for name, _ in source.left_out] == ["bomb.png"]
    given = {"train": str(archive)}
    raw = collect_raw_images(store, make_dataset(**TRAIN_ONLY), locations=given, emit=lambda line: None)
    assert raw.figures["images_train"] == 100


def test_a_class_folder_that_is_part_of_the_word_folders(look, tmp_path):
    folder = write_files(tmp_path / "x", class_files({"cat": 2, "dog": 1}, prefix="old/"))
    source = look(folder, classes="folders")
    assert {entry.class_name for entry in source.entries()} == {"cat", "dog"}


def test_evaluate_counts_them_too(tmp_path):
    folder = write_files(tmp_path / "x", {**{f"{i}.png": encoded(i) for i in range(99)}, "b.heic": b""})
    lines = []
    assert len(PathImages(str(folder), tmp_path / "cache", lines.append)) == 99
    assert "1 images are left out" in lines[0]
    write_files(folder, {"c.heic": b""})
    with pytest.raises(SourceError, match="2 of 101 images cannot be read"):
        PathImages(str(folder), tmp_path / "cache", lines.append)
