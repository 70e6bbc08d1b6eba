import tarfile

import numpy as np
import pytest

from gan_core.data.decoding import ShardFormat, decode_into
from gan_core.data.pixels import encode_png
from gan_core.data.tars import largest_sample_bytes, read_tar, write_tar
from gan_core.errors import StoreError


def samples(count: int = 4, size: int = 8, labelled: bool = True):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return images, [
        (f"{i:04d}-x", encode_png(image), i if labelled else None) for i, image in enumerate(images)
    ]


@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_written_is_read(tmp_path, labelled):
    images, wanted = samples(labelled=labelled)
    assert write_tar(tmp_path / "a.tar", iter(wanted)) == 4
    assert list(read_tar(tmp_path / "a.tar")) == wanted
    decoded, labels = np.empty_like(images), np.empty(len(images), dtype=np.int64)
    expected = ShardFormat("a", images.shape[1:], classes=4 if labelled else 0)
    decode_into(tmp_path / "a.tar", None, decoded, labels, expected)
    np.testing.assert_array_equal(decoded, images)
    assert labels.tolist() == ([0, 1, 2, 3] if labelled else [-1] * 4)


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "ä", "x" * 91])
def test_keys_that_cannot_be_read_back_are_refused(tmp_path, key):
    with pytest.raises(StoreError, match=f"`{key}` cannot be a sample's key: give it 1 to 90"):
        write_tar(tmp_path / "a.tar", [("fine", b"png", 0), (key, b"png", 0)])
    assert not (tmp_path / "a.tar").exists()


def test_the_longest_key_is_read_back(tmp_path):
    wanted = [("x" * 89 + str(number), b"png", 7) for number in range(2)]
    write_tar(tmp_path / "a.tar", wanted)
    assert list(read_tar(tmp_path / "a.tar")) == wanted


@pytest.mark.parametrize("between", [[], [("b", b"png", 0)]])
def test_a_key_that_comes_twice_is_refused(tmp_path, between):
    with pytest.raises(StoreError, match=r"a.tar: two samples have the key `a`"):
        write_tar(tmp_path / "a.tar", [("a", b"png", 0), *between, ("a", b"png", 1)])
    assert not (tmp_path / "a.tar").exists()


def test_tarfile_agrees(tmp_path):
    _, wanted = samples()
    write_tar(tmp_path / "a.tar", wanted)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == [f"{key}.{kind}" for key, _, _ in wanted for kind in ("png", "cls")]
        assert tar.extractfile("0002-x.png").read() == wanted[2][1]


def test_every_cut_is_noticed(tmp_path):
    write_tar(tmp_path / "a.tar", samples(2)[1])
    content = (tmp_path / "a.tar").read_bytes()
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512
    for length in range(0, end, 100):
        (tmp_path / "cut.tar").write_bytes(content[:length])
        with pytest.raises(EOFError, match="not complete"):
            list(read_tar(tmp_path / "cut.tar"))


def test_a_damaged_header_is_noticed(tmp_path):
    write_tar(tmp_path / "a.tar", samples(2)[1])
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[3] ^= 1
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ValueError, match="damaged header"):
        list(read_tar(tmp_path / "a.tar"))


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (256, 3), (1024, 1)])
def test_the_largest_sample_is_never_exceeded(tmp_path, size, channels):
    noise = np.random.default_rng(0).integers(0, 256, (channels, size, size), dtype=np.uint8)
    write_tar(tmp_path / "a.tar", [("k", encode_png(noise), 999)])
    with tarfile.open(tmp_path / "a.tar") as tar:
        used = sum(512 + -(-member.size // 512) * 512 for member in tar)
    limit = largest_sample_bytes(size, channels, labelled=True)
    assert used <= limit <= 1.05 * used + 4096
