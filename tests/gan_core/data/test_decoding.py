"""Shards decoded in processes of their own, which end with whoever started them."""

import contextlib
import ctypes
import signal
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest

from gan_core.data.decoding import (
    DECODERS,
    FRAME,
    DecoderPool,
    ShardFormat,
    decode_into,
    decoders_of_this_process,
)
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.errors import ConfigError, StoreError

COUNT, SIDE = 400, 16
EXPECTED = ShardFormat("noise", (3, SIDE, SIDE), classes=7)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)


@pytest.fixture
def shard(tmp_path) -> Path:
    path = tmp_path / "train-000000.tar"
    write_tar(path, ((f"{i:04d}", encode_png(image), i % 7) for i, image in enumerate(IMAGES)))
    return path


def in_process(path, rows, images, labels, expected):
    with contextlib.closing(DecoderPool(1)) as pool:
        pool.submit(lambda: path, rows, images, labels, expected).result()


@pytest.fixture(params=[decode_into, in_process], ids=["here", "in a process"])
def decode(request):
    def decode(path, rows, count, side=SIDE, classes=7):
        images, labels = np.zeros((count, 3, side, side), np.uint8), np.full(count, -9)
        request.param(path, rows, images, labels, ShardFormat("noise", (3, side, side), classes))
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
    assert decode(tmp_path / "a.tar", None, 3, classes=0)[1].tolist() == [-1] * 3


def test_a_shard_that_is_not_what_is_expected_is_named(shard, decode):
    remedy = "run `python -m gan_core shard noise --force`"
    for rows, count in ((None, COUNT + 1), (None, COUNT - 1), (np.array([COUNT]), 1)):
        with pytest.raises(StoreError, match=f"train-000000.tar has more or fewer images .*; {remedy}"):
            decode(shard, rows, count)
    with pytest.raises(StoreError, match=r"`0000` has the shape \(3, 16, 16\) instead of \(3, 8, 8\)"):
        decode(shard, None, COUNT, side=8)
    with pytest.raises(StoreError, match="none.tar cannot be read: No such file"):
        decode(shard.with_name("none.tar"), None, COUNT)
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(StoreError, match="train-000000.tar .* not complete; run .* shard noise --force"):
        decode(shard, None, COUNT)


def test_a_pool_goes_on_after_an_error_and_not_after_it_was_closed(shard):
    images, labels = np.zeros_like(IMAGES), np.zeros(COUNT, np.int64)
    pool = DecoderPool(2)
    bad = pool.submit(lambda: shard.with_name("none.tar"), None, images, labels, EXPECTED)
    good = [pool.submit(lambda: shard, None, images, labels, EXPECTED) for _ in range(3)]
    with pytest.raises(StoreError, match="none.tar"):
        bad.result()
    for future in good:
        future.result()
    np.testing.assert_array_equal(images, IMAGES)
    pool.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(lambda: shard, None, images, labels, EXPECTED)


# --- how many


@pytest.fixture
def cores(monkeypatch):
    """A machine of 96 cores, all for one process."""
    for name in (DECODERS, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 96)


@pytest.mark.parametrize(
    ("ranks", "shards", "expected"), [(1, 600, 32), (4, 600, 24), (8, 600, 12), (200, 600, 1), (4, 5, 5)]
)
def test_decoders_are_divided_among_the_ranks_of_a_host_and_bounded(
    cores, monkeypatch, ranks, shards, expected
):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert decoders_of_this_process(shards) == expected


def test_the_environment_says_another_number(cores, monkeypatch):
    monkeypatch.setenv(DECODERS, "40")
    assert decoders_of_this_process(600) == 40
    assert decoders_of_this_process(3) == 3
    for value in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv(DECODERS, value)
        with pytest.raises(ConfigError, match=f"GAN_DECODERS is `{value}`: give a whole number from 1"):
            decoders_of_this_process(600)


# Run without the right to exceed the system's bounds, as every ordinary user does. What pipes may hold in all
# is used up first: 64 of a megabyte, as decoders on a host of 32 cores once asked for.
ORDINARY_USER = """
import contextlib, fcntl, os, pathlib, sys
import numpy as np
from gan_core.data.decoding import DecoderPool, ShardFormat

pipes = []
with contextlib.suppress(PermissionError):
    while len(pipes) < 1000:
        pipes.append(os.pipe())
        fcntl.fcntl(pipes[-1][0], fcntl.F_SETPIPE_SZ, 2**20)
print(len(pipes))
images, labels = np.zeros((2, 400, 3, 16, 16), np.uint8), np.zeros((2, 400), np.int64)
with contextlib.closing(DecoderPool(2)) as pool:
    futures = [
        pool.submit(lambda: pathlib.Path(sys.argv[1]), None, *into, ShardFormat("", (3, 16, 16), 7))
        for into in zip(images, labels)
    ]
    [future.result() for future in futures]
    print([fcntl.fcntl(one.process.stdout, fcntl.F_GETPIPE_SZ) for one in pool._decoders])
np.save(sys.argv[2], images)
"""
CAP_SYS_ADMIN, CAP_SYS_RESOURCE, PR_CAPBSET_DROP = 21, 24, 24


def give_up_rights() -> None:
    """Before the program begins: it cannot exceed bounds, even where root runs the tests."""
    for capability in (CAP_SYS_ADMIN, CAP_SYS_RESOURCE):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_an_ordinary_user_whose_pipes_may_hold_no_more_still_decodes(shard, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", ORDINARY_USER, str(shard), str(tmp_path / "images.npy")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        preexec_fn=give_up_rights,
    )
    assert ran.returncode == 0, ran.stderr
    pipes = int(ran.stdout.split()[0])
    if pipes == 1000:
        pytest.skip("this system does not bound what pipes hold")
    for images in np.load(tmp_path / "images.npy"):
        np.testing.assert_array_equal(images, IMAGES)


# --- when they end


PARENT = """
import sys, time, pathlib
import numpy as np
from gan_core.data.decoding import DecoderPool, ShardFormat

pool = DecoderPool(1)
images, labels = np.zeros((400, 3, 16, 16), np.uint8), np.zeros(400, np.int64)
pool.submit(lambda: pathlib.Path(sys.argv[1]), None, images, labels, ShardFormat("", (3, 16, 16), 7)).result()
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
