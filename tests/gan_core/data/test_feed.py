"""Resident and streamed images are the same bytes at every place; streaming stays within its bounds."""

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from gan_core.data import feed as feed_module
from gan_core.data.decoding import DecoderPool, decode_into
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import MEMORY_LIMIT, FeedInterrupted, ResidentFeed, StreamedFeed, open_feed
from gan_core.data.loading import ShardFiles
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.errors import ConfigError, StoreError
from gan_core.store import Build, Manifest, Store
from gan_core.store import store as store_module

SIZES = [20, 13, 20, 7, 20, 1, 19]  # images a shard; 100 in all
SIDE, CPU = 16, torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (sum(SIZES), 3, SIDE, SIDE), dtype=np.uint8)
LABELS = np.arange(len(IMAGES)) % 7


@pytest.fixture(autouse=True)
def no_limit_of_the_machine(monkeypatch):
    for name in (MEMORY_LIMIT, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def shards(store) -> Manifest:
    return write_shards(store, IMAGES, LABELS, SIZES)


def write_shards(
    store: Store, images: np.ndarray, labels: np.ndarray | None, sizes: list[int], classes: int = 7
) -> Manifest:
    def build(work: Build) -> None:
        names, first = [], 0
        for number, size in enumerate(sizes):
            names.append(f"train-{number:06d}.tar")
            samples = (
                (f"{index:06d}", encode_png(images[index]), None if labels is None else int(labels[index]))
                for index in range(first, first + size)
            )
            first += write_tar(work.folder / names[-1], samples)
        work.details = {
            "splits": {"train": {"images": first, "shards": names, "images_per_shard": sizes}},
            "classes": [] if labels is None else [str(label) for label in range(classes)],
            "image_size": images.shape[-1],
            "channels": images.shape[1],
        }

    return store.produce("image_shards", "tiny", config={}, inputs={}, code_version="1", build=build)


@contextlib.contextmanager
def streamed(store, shards, *, window=30, seed=3, batch_size=8, labelled=True, device=CPU, **options):
    order = EpochOrder(shards.details["splits"]["train"]["images_per_shard"], window, seed)
    feed = StreamedFeed(
        store, shards, "train", order, batch_size=batch_size, labelled=labelled, device=device, **options
    )
    with contextlib.closing(feed):
        yield feed


def resident(window=30, device=CPU, **ranks) -> ResidentFeed:
    order = EpochOrder(SIZES, window, seed=3)
    return ResidentFeed(
        torch.from_numpy(IMAGES).to(device), torch.from_numpy(LABELS).to(device), order, **ranks
    )


def same(one, other) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def opened(store, shards, *, lines=None, **changes):
    values = {"order_seed": 3, "window": 30, "batch_size": 8, "labelled": True, "device": CPU}
    emit = (lambda line: None) if lines is None else lines.append
    return contextlib.closing(open_feed(store, shards, "train", emit=emit, **{**values, **changes}))


def test_resident_batches_are_the_images_of_the_order():
    feed, order = resident(), EpochOrder(SIZES, 30, seed=3)
    for start, size in [(0, 8), (96, 8), (250, 100), (90, 230)]:
        numbers = order.batch(start, size).numpy()
        images, labels = feed.batch(start, size)
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        np.testing.assert_array_equal(images.numpy(), IMAGES[numbers])
        np.testing.assert_array_equal(labels.numpy(), LABELS[numbers])


@pytest.mark.parametrize("window", [1, 30, 55, 100, 65_536])
def test_streamed_and_resident_batches_are_the_same_bytes(store, shards, window):
    with streamed(store, shards, window=window) as feed:
        assert len(feed) == 100
        for start in range(0, 330, 8):
            assert same(feed.batch(start, 8), resident(window).batch(start, 8))


def test_streaming_begins_and_goes_on_anywhere(store, shards):
    with streamed(store, shards) as feed:
        for start in np.random.default_rng(1).integers(0, 1_000, 40).tolist():
            for place in (start, start + 8):
                assert same(feed.batch(place, 8), resident().batch(place, 8))


def test_a_batch_may_be_larger_than_windows_and_epochs(store, shards):
    with streamed(store, shards) as feed:
        assert same(feed.batch(60, 250), resident().batch(60, 250))


def test_beginning_somewhere_reads_only_the_window_there_and_the_next(store, shards):
    order = EpochOrder(SIZES, 30, seed=3)
    place = 250
    window = order.window_at(place)
    needed = {*window.shards, *order.window_at(window.end).shards}
    assert len(needed) < len(SIZES) - 1
    for shard in set(range(len(SIZES))) - needed:
        store.local(shards, f"train-{shard:06d}.tar").unlink()
    with streamed(store, shards) as feed:
        assert same(feed.batch(place, 4), resident().batch(place, 4))


def test_without_labels(store, tmp_path):
    bare = write_shards(store, IMAGES, None, SIZES)
    for changes in ({}, {"memory_limit_bytes": 60_000}):
        with opened(store, bare, labelled=False, **changes) as feed:
            images, labels = feed.batch(0, 8)
            assert labels is None
            assert torch.equal(images, resident().batch(0, 8)[0])


@pytest.mark.parametrize("window", [1, 30, 100])
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_together_have_the_batch_of_one(store, shards, ranks, window):
    with contextlib.ExitStack() as stack:
        places = [{"rank": rank, "world_size": ranks} for rank in range(ranks)]
        streams = [stack.enter_context(streamed(store, shards, window=window, **place)) for place in places]
        residents = [resident(window, **place) for place in places]
        for start in range(0, 240, 8):
            whole = resident(window).batch(start, 8)
            for feeds in (streams, residents):
                parts = [feed.batch(start, 8) for feed in feeds]
                assert all(len(images) == 8 // ranks for images, _ in parts)
                joined = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
                assert same(joined, whole)


def count_decoded(monkeypatch) -> list[int]:
    """How many images each request to a decoder asks for, from now on."""
    decoded: list[int] = []
    submit = DecoderPool.submit

    def counted(pool, locate, rows, images, labels, expected):
        decoded.append(len(images))
        return submit(pool, locate, rows, images, labels, expected)

    monkeypatch.setattr(DecoderPool, "submit", counted)
    return decoded


def test_a_rank_decodes_only_its_own_images(store, shards, monkeypatch):
    decoded = count_decoded(monkeypatch)
    with streamed(store, shards, window=100, rank=1, world_size=4) as feed:
        feed.batch(0, 8)
        assert sum(decoded) == pytest.approx(2 * 100 / 4, abs=4)  # this window and the next
        assert len(feed._current.images) < 40


def test_ranks_refuse_parts_of_batches(store, shards):
    with streamed(store, shards, rank=0, world_size=2) as feed:
        for start, size in ((4, 8), (0, 4)):
            with pytest.raises(ValueError, match="whole batches of 8"):
                feed.batch(start, size)


# --- the order does not depend on the processes


class AtOnce:
    """Instead of a pool of decoders: decodes when it is asked to."""

    def __init__(self, processes: int):
        pass

    def submit(self, locate, rows, images, labels, expected):
        future: Future[None] = Future()
        decode_into(locate(), rows, images, labels, expected)
        future.set_result(None)
        return future

    def close(self):
        pass


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> tuple[Store, Manifest]:
    """Images whose label is their number."""
    store = Store(tmp_path_factory.mktemp("numbered"))
    return store, write_shards(store, IMAGES, np.arange(len(IMAGES)), SIZES, classes=len(IMAGES))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_processes_take_over_from_each_other_see_one_order(numbered, monkeypatch, seed):
    """Runs of 1 to 4 ranks that begin where the one before has stopped, some steps before it at times."""
    monkeypatch.setattr(feed_module, "DecoderPool", AtOnce)
    store, shards = numbered
    numbers = np.random.default_rng(seed)
    window, batch_size = int(numbers.choice([1, 7, 30, 55, 100, 65_536])), int(numbers.choice([12, 24, 36]))
    expected = EpochOrder(SIZES, window, seed).batch(0, 60 * batch_size).numpy()
    seen, start = np.full(len(expected), -1), 0
    while start < len(expected):
        ranks = int(numbers.integers(1, 5))
        end = min(start + batch_size * int(numbers.integers(1, 12)), len(expected))
        for rank in range(ranks):
            place = {"window": window, "batch_size": batch_size, "rank": rank, "world_size": ranks}
            with streamed(store, shards, seed=seed, **place) as feed:
                for at in range(start, end, batch_size):
                    images, labels = feed.batch(at, batch_size)
                    np.testing.assert_array_equal(images.numpy(), IMAGES[labels.numpy()])
                    share = slice(at + rank * len(labels), at + (rank + 1) * len(labels))
                    assert len(labels) == batch_size // ranks
                    assert ((seen[share] == -1) | (seen[share] == labels.numpy())).all()
                    seen[share] = labels
        back = batch_size * int(numbers.integers(0, 3))  # killed after its last checkpoint
        start = end if end == len(expected) else max(0, end - back)
    np.testing.assert_array_equal(seen, expected)
    for epoch in range(len(expected) // 100):
        assert sorted(seen[epoch * 100 : epoch * 100 + 100]) == list(range(100))


# --- no more is read than needed


class CountingStore(Store):
    """A store that remembers which files were asked of it."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.asked: list[str] = []

    def local(self, manifest, name, *, verify=True):
        self.asked.append(name)
        return super().local(manifest, name, verify=verify)


def names_of(*windows) -> set[str]:
    return {f"train-{shard:06d}.tar" for window in windows for shard in window.shards}


@pytest.mark.parametrize("place", [0, 250])
def test_the_first_batch_comes_after_one_window(store, shards, monkeypatch, place):
    """The next window cannot be read before the first batch is there."""
    first = EpochOrder(SIZES, 30, seed=3).window_at(place)
    go_on = threading.Event()
    locate = ShardFiles.locate

    def held_back(files, name):
        if name not in names_of(first):
            go_on.wait(30)
        return locate(files, name)

    monkeypatch.setattr(ShardFiles, "locate", held_back)
    with streamed(store, shards) as feed:
        try:
            assert same(feed.batch(place, 4), resident().batch(place, 4))
            assert not go_on.is_set()
        finally:
            go_on.set()


def test_a_shard_is_asked_for_once_a_window(tmp_path):
    store = CountingStore(tmp_path / "store")
    shards = write_shards(store, IMAGES, LABELS, SIZES)
    order = EpochOrder(SIZES, 30, seed=3)
    with streamed(store, shards) as feed:
        assert store.asked == []
        feed.batch(0, 4)
        feed.batch(4, 4)
        windows = [order.window_at(0), order.window_at(order.window_at(0).end)]
        feed.batch(windows[1].first_place, 1)  # waits for what was begun
    assert len(windows[0].numbers) > 8
    assert set(store.asked) >= names_of(*windows)
    third = order.window_at(windows[1].end)
    assert set(store.asked) <= names_of(*windows, third)
    assert len(store.asked) == len(set(store.asked))


def test_a_run_that_goes_on_decodes_what_is_left_of_the_window(store, shards, monkeypatch):
    decoded = count_decoded(monkeypatch)
    window = EpochOrder(SIZES, 100, seed=3).window_at(0)
    with streamed(store, shards, window=100) as feed:
        feed.batch(70, 4)
        assert sum(decoded[: len(window.shards)]) == 30
        assert same(feed.batch(0, 100), resident(100).batch(0, 100))  # and back


@pytest.mark.parametrize(("images", "until"), [(16, 16), (20, 24)])
def test_nothing_is_read_that_comes_after_the_last_batch(tmp_path, images, until):
    """The last batch of 8 is whole. The first window has 20 images, so these need the second one."""
    store = CountingStore(tmp_path / "store")
    shards = write_shards(store, IMAGES, LABELS, SIZES)
    order = EpochOrder(SIZES, 30, seed=3)
    assert order.window_at(0).end == 20
    with streamed(store, shards) as feed:
        feed.end_after(images)
        for start in range(0, until, 8):
            assert same(feed.batch(start, 8), resident().batch(start, 8))
        with pytest.raises(ValueError, match=f"nothing from {until} on"):
            feed.batch(until, 8)
    needed = np.searchsorted(order.first_images, order.batch(0, until).numpy(), side="right") - 1
    assert set(store.asked) == {f"train-{shard:06d}.tar" for shard in needed}


def test_a_store_elsewhere(tmp_path):
    store = Store(f"memory://{tmp_path.name}", cache=tmp_path / "cache")
    shards = write_shards(store, IMAGES, LABELS, SIZES)
    with streamed(store, shards) as feed:
        assert same(feed.batch(0, 130), resident().batch(0, 130))


def test_a_shard_is_hashed_once(store, shards, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        store_module, "sha256_of", lambda path: hashed.append(path.name) or shards.files[path.name].sha256
    )
    with streamed(store, shards) as feed:
        for start in range(0, 300, 10):
            feed.batch(start, 10)
    assert sorted(hashed) == sorted(shards.files)


# --- what goes wrong


def damage(store: Store, shards: Manifest, name: str) -> None:
    """Turn the pixels of a shard's first image into rubbish, leaving the tar as it was."""
    path = store.local(shards, name, verify=False)
    content = bytearray(path.read_bytes())
    content[600:640] = bytes(40)
    path.write_bytes(content)


def last_shard(seed: int = 3) -> str:
    """The shard that an epoch ends with."""
    return f"train-{EpochOrder(SIZES, 30, seed).window_at(99).shards[-1]:06d}.tar"


def test_a_damaged_shard_is_named_when_its_images_are_due(store, shards):
    damage(store, shards, last_shard())
    with streamed(store, shards) as feed:
        good = 0
        with pytest.raises(StoreError, match=f"{last_shard()} does not match its manifest"):
            for good in range(0, 100, 4):
                feed.batch(good, 4)
        assert good >= 20
        with pytest.raises(StoreError, match=last_shard()):
            feed.batch(good, 4)


def test_a_shard_that_is_damaged_after_it_was_verified_is_named(store, shards):
    with streamed(store, shards) as feed:
        for start in range(0, 100, 10):
            feed.batch(start, 10)
        for name in shards.files:
            damage(store, shards, name)
        with pytest.raises(StoreError, match=r"train-\d+.tar(:| ends within) `.*; run .* shard tiny --force"):
            for start in range(100, 300, 10):
                feed.batch(start, 10)


def test_a_missing_shard_is_named(store, shards):
    store.local(shards, last_shard()).unlink()
    with streamed(store, shards) as feed, pytest.raises(StoreError, match=f"{last_shard()} is missing"):
        feed.batch(0, 100)


def test_a_killed_decoder_is_noticed(store, shards):
    with streamed(store, shards) as feed:
        feed.batch(0, 8)
        for child in decoders():
            child.kill()
        with pytest.raises(StoreError, match="has ended with code -9"):
            for start in range(0, 300, 10):
                feed.batch(start, 10)


def decoders() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "gan_core.data.decoding" in child.cmdline()]


def test_a_wait_for_images_can_be_interrupted(store, shards, monkeypatch):
    blocked = threading.Event()
    monkeypatch.setattr(ShardFiles, "locate", lambda *_: blocked.wait(30))
    with streamed(store, shards) as feed:
        threading.Timer(0.3, feed.interrupt).start()
        with pytest.raises(FeedInterrupted):
            feed.batch(0, 8)
        blocked.set()


@pytest.mark.parametrize("batches", [0, 1, 30])
def test_nothing_runs_after_close(store, shards, batches):
    threads = set(threading.enumerate())
    with streamed(store, shards) as feed:
        for start in range(0, 10 * batches, 10):
            feed.batch(start, 10)
    assert not decoders()
    assert set(threading.enumerate()) <= threads
    feed.close()


# --- how much memory


def test_what_fits_is_resident_and_what_does_not_is_streamed(store, shards):
    lines = []
    with opened(store, shards, lines=lines) as whole:
        assert isinstance(whole, ResidentFeed)
        with opened(store, shards, lines=lines, memory_limit_bytes=60_000) as part:
            assert isinstance(part, StreamedFeed)
            assert same(whole.batch(77, 40), part.batch(77, 40))
    assert lines == [
        "tiny train: resident on cpu, 100 images, 76.8 kB",
        "tiny train: streamed in windows of 30 images, 100 images, 46.6 kB for two windows",
        "tiny train: training begins when the first window is decoded",
    ]


def test_the_environment_sets_the_limit(store, shards, monkeypatch):
    monkeypatch.setenv(MEMORY_LIMIT, "60KB")
    with opened(store, shards) as feed:
        assert isinstance(feed, StreamedFeed)
    with opened(store, shards, memory_limit_bytes=10**6) as feed:
        assert isinstance(feed, ResidentFeed)
    monkeypatch.setenv(MEMORY_LIMIT, "plenty")
    with pytest.raises(ConfigError, match="GAN_MEMORY_LIMIT is `plenty`: give a size such as 500MB"):
        opened(store, shards)


def test_the_free_memory_is_a_limit_that_ranks_share(store, shards, monkeypatch):
    monkeypatch.setattr(feed_module, "free_memory", lambda: 100_000)
    with opened(store, shards, memory_limit_bytes=10**9) as feed:
        assert isinstance(feed, StreamedFeed)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(StoreError, match="shuffle_window"):
        opened(store, shards)


def test_a_limit_too_small_for_two_windows_says_which_value_would_do(store, shards):
    with pytest.raises(StoreError, match="set the experiment's `shuffle_window` to 29 or less") as error:
        opened(store, shards, memory_limit_bytes=48_000)
    assert "train split of tiny does not fit into 48.0 kB of memory" in str(error.value)
    with opened(store, shards, memory_limit_bytes=48_000, window=29) as feed:
        assert isinstance(feed, StreamedFeed)


def test_where_no_window_is_small_enough_smaller_shards_are_asked_for(store, shards):
    for window in (1, 30):
        with pytest.raises(StoreError, match="one shard of 20 images, .* dataset's `max_shard_mb`"):
            opened(store, shards, memory_limit_bytes=20_000, window=window)


def test_a_batch_that_ranks_cannot_share_is_refused(store, shards):
    with pytest.raises(ConfigError, match="batch_size 8 cannot be shared evenly by 3 processes"):
        opened(store, shards, rank=0, world_size=3)


STREAM = """
import sys, psutil, torch
from gan_core.store import Store
from gan_core.data.feed import open_feed

store = Store(sys.argv[1])
shards = store.require("image_shards", "tiny")
own = psutil.Process()


def in_memory(process):
    # Without what is mapped from files: the program itself.
    return process.memory_info().rss - process.memory_info().shared


torch.set_num_threads(1)  # threads take memory of their own, once
torch.zeros(2).index_select(0, torch.zeros(1, dtype=torch.int64))
before, largest, settled, decoders, seen = in_memory(own), 0, 0, 0, set()
feed = open_feed(
    store, shards, "train", order_seed=0, window=100, batch_size=8, labelled=True,
    device=torch.device("cpu"), emit=lambda line: None,
)
for start in range(0, 2400, 8):
    images, labels = feed.batch(start, 8)
    assert (images[:, 0, 0, 0].long() == labels % 7).all()
    seen |= set(labels.tolist())
    largest = max(largest, in_memory(own))
    settled = largest if start < 400 else settled
    decoders = max([decoders, *(in_memory(child) for child in own.children())])
feed.close()
print(type(feed).__name__, len(seen), largest - before, largest - settled, decoders)
"""


def test_a_split_larger_than_the_limit_is_trained_on_within_it(tmp_path):
    """118 MB of images through 32 MB: the memory of the process grows by less than that while it streams, and
    hardly at all after the first four windows.

    Two windows take 10 MB; what a process loads late and the allocator keeps varies by some more, once.
    """
    side, count, limit = 128, 2_400, 32_000_000
    store = Store(tmp_path / "store")
    encoded = [encode_png(np.full((3, side, side), value, np.uint8)) for value in range(7)]

    def build(work: Build) -> None:
        names = [f"train-{number:06d}.tar" for number in range(24)]
        for number, name in enumerate(names):
            numbers = range(100 * number, 100 * number + 100)
            write_tar(work.folder / name, ((f"{i:06d}", encoded[i % 7], i) for i in numbers))
        split = {"images": count, "shards": names, "images_per_shard": [100] * 24}
        work.details = {
            "splits": {"train": split},
            "classes": [str(i) for i in range(count)],
            "image_size": side,
            "channels": 3,
        }

    store.produce("image_shards", "tiny", config={}, inputs={}, code_version="1", build=build)
    root = Path(feed_module.__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, MEMORY_LIMIT: str(limit)},
    )
    assert ran.returncode == 0, ran.stderr
    kind, seen, grown, later, decoder = ran.stdout.split()
    assert (kind, int(seen)) == ("StreamedFeed", count)
    assert int(grown) < limit
    assert int(later) < 5_000_000
    assert int(decoder) < 120_000_000


@pytest.mark.gpu
def test_on_a_gpu_both_feeds_give_what_the_cpu_gives(store, shards):
    device = torch.device("cuda")
    with opened(store, shards, device=device) as whole, streamed(store, shards, device=device) as part:
        assert isinstance(whole, ResidentFeed)
        for start in range(0, 330, 8):
            expected = resident().batch(start, 8)
            for feed in (whole, part):
                images, labels = feed.batch(start, 8)
                assert images.device.type == labels.device.type == "cuda"
                assert same((images.cpu(), labels.cpu()), expected)
