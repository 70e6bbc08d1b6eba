"""Array files in the cache that were torn, and official files that are bombs or something else."""

import gzip
import struct

import numpy as np
import pytest

from gan_core.data.sources import open_sources
from gan_core.errors import SourceError
from tests.gan_core.data.conftest import make_dataset, write_files

DIGITS = {"name": "digits", "source": {"kind": "digits"}, "channels": 1, "splits": ["train"]}
MNIST = {"name": "mnist", "source": {"kind": "mnist"}, "channels": 1, "splits": ["train"]}


def opened(dataset, cache, train=None):
    given = {"train": str(train) if train else None, "test": None}
    return open_sources(make_dataset(**dataset), given, cache)["train"]


@pytest.mark.parametrize("length", [0, 1, 60, 100, 5_000, -1])
def test_a_torn_cached_array_is_made_anew(tmp_path, length):
    first = opened(DIGITS, tmp_path)
    contents = [first.read(entry) for entry in first.entries()]
    whole = first.records.read_bytes()
    first.records.write_bytes(whole[:length])
    again = opened(DIGITS, tmp_path)
    assert [again.read(entry) for entry in again.entries()] == contents
    assert first.records.read_bytes() == whole


def test_another_array_in_the_cache_is_made_anew(tmp_path):
    first = opened(DIGITS, tmp_path)
    np.save(first.records, np.zeros(3))
    assert len(opened(DIGITS, tmp_path).entries()) == 1797


def idx(shape: tuple[int, ...], values: bytes) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values


LABELS = idx((2,), bytes(2))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        # What the header promises decides before anything is decompressed.
        (idx((2, 2**16, 2**16), b""), "8,589,934,592 bytes are more than GAN_MAX_IMAGE_MB=256 allows"),
        (idx((2**32 - 1,) * 200, b""), "are more than GAN_MAX_IMAGE_MB=256 allows"),
        (idx((2, 28, 28), bytes(300 * 2**20)), "cannot reshape array of size 1569"),  # one more is read
        (idx((2, 28, 28), bytes(1000)), "cannot reshape array of size 1000"),
        (idx((2,), bytes(2)), r"images \(2,\) and labels \(2,\)"),
        (b"\0\0", "is not an idx file"),
        (b"", "is not an idx file"),
    ],
)
def test_an_idx_file_is_not_read_beyond_what_it_says(tmp_path, images, words):
    files = {
        "train-images-idx3-ubyte.gz": gzip.compress(images),
        "train-labels-idx1-ubyte.gz": gzip.compress(LABELS),
    }
    with pytest.raises(SourceError, match=words):
        opened(MNIST, tmp_path / "cache", write_files(tmp_path / "x", files))


def test_a_cut_idx_file_is_named(tmp_path):
    images = gzip.compress(idx((2, 28, 28), np.random.default_rng(0).bytes(2 * 28 * 28)))
    files = {"train-images-idx3-ubyte.gz": images[:-9], "train-labels-idx1-ubyte.gz": gzip.compress(LABELS)}
    with pytest.raises(SourceError, match="train-images-idx3-ubyte is not an idx file"):
        opened(MNIST, tmp_path / "cache", write_files(tmp_path / "x", files))
