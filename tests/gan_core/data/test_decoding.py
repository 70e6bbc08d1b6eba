"""Shards decoded in processes of their own, which end with whoever started them."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from gan_core.data.decoding import FRAME, DecoderPool, decode_into
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.errors import StoreError

COUNT, SIDE = 400, 16
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)


@pytest.fixture
def shard(tmp_path) -> Path:
    path = tmp_path / "train-000000.tar"
    write_tar(path, ((f"{i:04d}", encode_png(image), i % 7) for i, image in enumerate(IMAGES)))
    return path


def in_process(path, rows, images, labels):
    with contextlib.closing(DecoderPool(1)) as pool:
        pool.submit(lambda: path, rows, images, labels).result()


@pytest.fixture(params=[decode_into, in_process], ids=["here", "in a process"])
def decode(request):
    def decode(path, rows, count, side=SIDE):
        images, labels = np.zeros((count, 3, side, side), np.uint8), np.full(count, -9)
        request.param(path, rows, images, labels)
        return images, labels

    return decode


@pytest.mark.parametrize("rows", [None, [0], [399], [3, 4, 100, 398], list(range(1, 400, 2))])
def test_the_wanted_images_in_order(shard, decode, rows):
    assert IMAGES.nbytes > FRAME  # more than one frame
    wanted = np.arange(COUNT) if rows is None else np.array(rows)
    images, labels = decode(shard, None if rows is None else wanted, len(wanted))
    np.testing.assert_array_equal(images, IMAGES[wanted])
    np.testing.assert_array_equal(labels, wanted % 7)


def test_without_classes_labels_are_minus_one(tmp_path, decode):
    write_tar(tmp_path / "a.tar", ((f"{i:04d}", encode_png(IMAGES[i]), None) for i in range(3)))
    assert decode(tmp_path / "a.tar", None, 3)[1].tolist() == [-1] * 3


def test_a_shard_that_is_not_what_is_expected_is_named(shard, decode):
    for rows, count in ((None, COUNT + 1), (None, COUNT - 1), (np.array([COUNT]), 1)):
        with pytest.raises(StoreError, match="train-000000.tar cannot be decoded: .* more or fewer images"):
            decode(shard, rows, count)
    with pytest.raises(StoreError, match=r"the shape \(3, 16, 16\), not \(3, 8, 8\)"):
        decode(shard, None, COUNT, side=8)
    with pytest.raises(StoreError, match="none.tar cannot be decoded: .*No such file"):
        decode(shard.with_name("none.tar"), None, COUNT)
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(StoreError, match="train-000000.tar cannot be decoded: .* not complete"):
        decode(shard, None, COUNT)


def test_a_pool_goes_on_after_an_error_and_not_after_it_was_closed(shard):
    images, labels = np.zeros_like(IMAGES), np.zeros(COUNT, np.int64)
    pool = DecoderPool(2)
    bad = pool.submit(lambda: shard.with_name("none.tar"), None, images, labels)
    good = [pool.submit(lambda: shard, None, images, labels) for _ in range(3)]
    with pytest.raises(StoreError, match="none.tar"):
        bad.result()
    for future in good:
        future.result()
    np.testing.assert_array_equal(images, IMAGES)
    pool.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(lambda: shard, None, images, labels)


PARENT = """
import sys, time, pathlib
import numpy as np
from gan_core.data.decoding import DecoderPool

pool = DecoderPool(1)
images, labels = np.zeros((400, 3, 16, 16), np.uint8), np.zeros(400, np.int64)
pool.submit(lambda: pathlib.Path(sys.argv[1]), None, images, labels).result()
print(pool._decoders[0].process.pid, flush=True)
time.sleep(60)
"""


def test_decoders_end_when_their_parent_is_killed(shard):
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(shard)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        decoder = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    with contextlib.suppress(psutil.NoSuchProcess):
        decoder.wait(timeout=10)
    assert not decoder.is_running()
