"""Decoded shards on this machine's disk: what is kept, and what goes."""

import os

import numpy as np
import pytest

from gan_core.data import decoded
from gan_core.data.decoded import DecodedShards
from gan_core.data.decoding import ShardFormat

SIZE = 10 * (16 + 8) + 32  # ten images and labels, and their sha256


@pytest.fixture
def kept(tmp_path):
    return DecodedShards(tmp_path, ShardFormat("tiny", (1, 4, 4), 2))


@pytest.fixture
def content():
    numbers = np.random.default_rng(0)
    return numbers.integers(0, 256, (10, 1, 4, 4), np.uint8), numbers.integers(0, 2, 10)


def found(kept: DecodedShards, shard: str, content) -> bool:
    images, labels = (np.zeros_like(part) for part in content)
    there = kept.read(shard, None, images, labels)
    assert there == (np.array_equal(images, content[0]) and np.array_equal(labels, content[1]))
    return there


def files(kept: DecodedShards) -> list[str]:
    return sorted(path.name.split("-")[0] for path in kept.folder.rglob("*") if path.is_file())


def test_what_was_not_used_for_longest_goes(kept, content, monkeypatch):
    monkeypatch.setattr(decoded, "AT_MOST", 3 * SIZE)
    for age, shard in enumerate(["one", "two", "three"]):
        kept.write(shard, *content)
        os.utime(kept._path(shard), (age, age))
    assert found(kept, "one", content)  # and so is the newest
    kept.write("four", *content)
    assert files(kept) == ["four", "one", "three"]
    assert all(found(kept, shard, content) for shard in ("one", "three", "four"))


def test_what_a_killed_process_left_goes_as_well(kept, content, monkeypatch):
    monkeypatch.setattr(decoded, "AT_MOST", 2 * SIZE)
    kept.write("one", *content)
    left = kept._path("one").with_name(".two-1x4x4-2.123")
    left.write_bytes(bytes(SIZE))
    os.utime(left, (0, 0))
    kept.write("three", *content)
    assert files(kept) == ["one", "three"]


@pytest.mark.parametrize(("limit", "value"), [("LEFT_FREE", 2**60), ("AT_MOST", SIZE - 1)])
def test_nothing_is_written_without_room(kept, content, monkeypatch, limit, value):
    monkeypatch.setattr(decoded, limit, value)
    kept.write("one", *content)
    assert not files(kept) and not found(kept, "one", content)
