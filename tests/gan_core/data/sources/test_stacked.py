"""Stacked digits: which digits each image is made of, and that the splits share none."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gan_core.config import Dataset
from gan_core.data.raw import collect_raw_images, read_inventory, reopen_sources
from gan_core.data.shards import write_image_shards
from gan_core.data.sources import Entry, open_sources
from gan_core.errors import SourceError
from tests.gan_core.data.conftest import write_files


def stacked(images=60, test_images=30, seed=0, **changes) -> Dataset:
    stack = {"of": "digits", "images": images, "test_images": test_images, "seed": seed}
    values = {
        "name": "stacked",
        "source": {"kind": "stacked", "stack": stack},
        "image_size": 8,
        "channels": 3,
        "test_fraction": 0.2,
    }
    return Dataset.model_validate({**values, **changes})


def sources_of(dataset, tmp_path, **locations):
    return open_sources(dataset, {"train": None, "test": None, **locations}, tmp_path, print)


def pictures(source):
    return [(entry.class_name, np.asarray(source.decode(source.read(entry)))) for entry in source.entries()]


def bundled() -> dict[bytes, str]:
    digits = load_digits()
    scaled = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return {image.tobytes(): str(label) for image, label in zip(scaled, digits.target, strict=True)}


def test_each_channel_is_a_digit_of_the_class_and_no_digit_stands_in_both_splits(tmp_path):
    known, used = bundled(), {}
    for split, source in sources_of(stacked(2000, 1000), tmp_path).items():
        channels = [(name, image[..., c].tobytes()) for name, image in pictures(source) for c in range(3)]
        for place, (name, channel) in enumerate(channels):
            assert known[channel] == name[place % 3]
        used[split] = {channel for _, channel in channels}
    assert not used["train"] & used["test"]
    assert 0.75 < len(used["train"]) / (len(used["train"]) + len(used["test"])) < 0.85


def test_the_seed_decides_the_draw_and_more_images_begin_alike(tmp_path):
    def drawn(**values):
        return [image.tobytes() for _, image in pictures(sources_of(stacked(**values), tmp_path)["train"])]

    first = drawn()
    assert len(set(first)) == 60 and drawn() == first
    assert drawn(images=100)[:60] == first
    assert not set(drawn(seed=1)) & set(first)
    assert not set(drawn(seed=2**32)) & set(first)


def test_the_classes_are_drawn_evenly(tmp_path):
    source = sources_of(stacked(20_000), tmp_path)["train"]
    names = [entry.class_name for entry in source.entries()]
    counts = np.array([names.count(f"{number:03d}") for number in range(1000)])
    assert counts.sum() == 20_000 and counts.min() > 0
    # Each digit has a tenth of the images, give or take.
    for place in range(3):
        shares = np.bincount([int(name[place]) for name in names]) / len(names)
        assert (abs(shares - 0.1) < 0.01).all()


def test_stacks_become_shards_of_a_thousand_classes(store):
    dataset = stacked(40, 20, image_size=16)
    raw = collect_raw_images(store, dataset, emit=lambda line: None)
    assert raw.details["classes"] == [f"{number:03d}" for number in range(1000)]
    shards = write_image_shards(store, dataset, raw, workers=1, emit=lambda line: None)
    assert shards.figures["images_train"] == 40 and shards.figures["images_test"] == 20
    row = next(read_inventory(store, raw))
    assert shards.details["splits"]["train"]["classes"][row.class_name] >= 1
    assert collect_raw_images(store, dataset, emit=lambda line: None).reused


def png(size, value) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, value).save(buffer, "PNG")
    return buffer.getvalue()


def test_digits_may_lie_in_folders_of_ones_own(tmp_path):
    files = {f"{label}/{i}.png": png((8, 8), 20 * label + i) for label in range(10) for i in range(4)}
    folder = write_files(tmp_path / "own", files)
    sources = sources_of(stacked(300, 200), tmp_path, train=str(folder))
    for source in sources.values():
        for name, image in pictures(source):
            assert name == "".join(str(value // 20) for value in image[0, 0])
    values = [{int(v) for _, image in pictures(source) for v in image[0, 0]} for source in sources.values()]
    assert not values[0] & values[1]


def test_digits_of_different_sizes_are_refused(tmp_path):
    files = {f"{label}/{i}.png": png((8, 8 + i), 20 * label + i) for label in range(10) for i in range(2)}
    folder = write_files(tmp_path / "own", files)
    dataset = stacked(splits=["train"], test_fraction=None)
    source = sources_of(dataset, tmp_path, train=str(folder))["train"]
    with pytest.raises(SourceError, match="digits of different sizes, which cannot be stacked"):
        for entry in source.entries():
            source.read(entry)


def test_without_a_test_split_one_is_told_to_hold_digits_out(tmp_path):
    with pytest.raises(SourceError, match="wants a test split, and three digits each of .* has none"):
        sources_of(stacked(test_fraction=None), tmp_path)


def test_the_sources_are_found_again_from_the_inventory(store):
    dataset = stacked()
    raw = collect_raw_images(store, dataset, emit=lambda line: None)
    sources = reopen_sources(store, dataset, raw, print)
    rows = list(read_inventory(store, raw))
    assert [row.split for row in rows] == ["train"] * 60 + ["test"] * 30
    assert len(sources["test"].read(Entry(rows[-1].key, rows[-1].class_name))) == rows[-1].bytes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": {"kind": "stacked"}}, "needs `stack`, for example `stack: {of: mnist"),
        ({"source": {"kind": "digits", "stack": {"of": "digits", "images": 5}}}, "`digits` stacks nothing"),
        (
            {"source": {"kind": "stacked", "stack": {"of": "lsun", "images": 5}}},
            "digits are stacked of `lsun`",
        ),
        ({"channels": 1}, "three stacked digits has `channels: 3`"),
        ({"classes": ["a", "b"]}, "leave `classes` out"),
        ({"source": {"kind": "stacked", "stack": {"of": "digits", "images": 5}}}, "needs `test_images`"),
    ],
)
def test_what_does_not_go_together_is_told(changes, words):
    with pytest.raises(ValueError, match=words):
        stacked(**changes)
