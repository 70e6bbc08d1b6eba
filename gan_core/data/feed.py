"""The real images of a training, batch by batch: resident in memory, or streamed from the shards in windows.

Both show the same images in the same order, which does not depend on how much memory a machine has.
"""

import abc
import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

import numpy as np
import torch
from torch import Tensor

from gan_core.data.decoding import DecoderPool, decoders_of_this_process, ranks_here
from gan_core.data.epoch_order import EpochOrder, Window
from gan_core.data.loading import ShardFiles, free_memory, load_resident, submit_part
from gan_core.data.shard_manifest import image_shape, split_of
from gan_core.errors import ConfigError, StoreError
from gan_core.progress import format_bytes
from gan_core.store import Manifest, Store
from gan_core.store.copies import bytes_of_environment

logger = logging.getLogger("gan_core")
MEMORY_LIMIT = "GAN_MEMORY_LIMIT"
HOST_SHARE = 0.75  # of the free memory: the networks, their gradients and other programs need some
DEVICE_SHARE = 0.5  # of a GPU's
RESIDENT_BYTES = 24  # an image, beside its pixels: label, place in the epoch's order, and that on the device
WAIT_SECONDS = 0.2  # between two looks at whether a wait was interrupted
STREAMED_BYTES = 48  # likewise in a window: label, number, place, row, and what sorting them takes

Batch = tuple[Tensor, Tensor | None]


class FeedInterrupted(Exception):
    """`interrupt` was called while `batch` waited for images."""


class TrainingFeed(abc.ABC):
    """Real images in the order of a training.

    With several ranks every one has a feed of its own, which gives its share of each batch: with `size`
    images in the whole batch, rank r has those at places start + r * size / world_size and on.
    """

    def __init__(self, order: EpochOrder, *, rank: int = 0, world_size: int = 1):
        self.order, self.rank, self.world_size = order, rank, world_size

    def __len__(self) -> int:
        """The images of the split: of an epoch, over all ranks."""
        return len(self.order)

    @abc.abstractmethod
    def batch(self, start: int, size: int) -> Batch:
        """The images at places start to start + size of the order, of these this rank's share.

        uint8 (b, C, H, W) and int64 (b,), or None where the feed has no labels, on the device.
        """

    @abc.abstractmethod
    def end_after(self, total_images: int) -> None:
        """Of a run of so many images nothing is read that comes after its last batch, which is whole."""

    @abc.abstractmethod
    def interrupt(self) -> None:
        """From another thread: let a `batch` that waits for images raise `FeedInterrupted`, now and later."""

    @abc.abstractmethod
    def describe(self) -> str:
        """How the images are held, in words."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the memory back and end what runs in the background."""

    def _share(self, start: int, size: int) -> tuple[int, int]:
        """The first place of this rank's part of a batch, and the place after its last."""
        share = size // self.world_size
        first = start + self.rank * share
        return first, first + share


class ResidentFeed(TrainingFeed):
    """All images on the device: uint8 (N, C, H, W), and int64 (N,) or None."""

    def __init__(
        self, images: Tensor, labels: Tensor | None, order: EpochOrder, *, rank: int = 0, world_size: int = 1
    ):
        super().__init__(order, rank=rank, world_size=world_size)
        self.images, self.labels = images, labels
        self._epoch, self._numbers = -1, torch.empty(0, dtype=torch.int64)

    def numbers(self, start: int, size: int) -> Tensor:
        """The rows of `images` and `labels` that `batch` takes: int64 (b,), on the device."""
        place, end = self._share(start, size)
        parts = []
        while place < end:
            epoch, offset = divmod(place, len(self))
            parts.append(self._of_epoch(epoch)[offset : offset + end - place])
            place += len(parts[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def batch(self, start: int, size: int) -> Batch:
        numbers = self.numbers(start, size)
        labels = None if self.labels is None else self.labels.index_select(0, numbers)
        return self.images.index_select(0, numbers), labels

    def end_after(self, total_images: int) -> None:
        pass  # all is read

    def interrupt(self) -> None:
        pass  # it never waits

    def describe(self) -> str:
        size = format_bytes(self.images.nbytes)
        return f"resident on {self.images.device.type}, {len(self):,} images, {size}"

    def close(self) -> None:
        self.images, self.labels = self.images[:0].clone(), None

    def _of_epoch(self, epoch: int) -> Tensor:
        """The numbers of a whole epoch on the device, moved there once: a step copies and awaits nothing."""
        if epoch != self._epoch:
            self._numbers = torch.from_numpy(self.order.epoch(epoch)).to(self.images.device)
            self._epoch = epoch
        return self._numbers


class StreamedFeed(TrainingFeed):
    """One window of the order in memory, and the next one being decoded meanwhile.

    The first batch comes after one window, of which a run that goes on decodes only what is left. A batch
    that crosses into the next window waits until that is whole. With several ranks each decodes only its own
    images, so a batch must be a whole batch of `batch_size` at a multiple of it. A shard's sha256 is verified
    when it is first read. What goes wrong in the background is raised by `batch`, again at every call.
    """

    def __init__(
        self,
        store: Store,
        shards: Manifest,
        split: str,
        order: EpochOrder,
        *,
        batch_size: int,
        labelled: bool,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        processes: int | None = None,
    ):
        super().__init__(order, rank=rank, world_size=world_size)
        self.until: float = math.inf  # places from here on are not read
        self.files = ShardFiles(store, shards, split)
        self.batch_size, self.labelled, self.device = batch_size, labelled, device
        self.shape = image_shape(shards)
        capacity = window_capacity(order, batch_size, world_size)
        self._current, self._next = (_LoadedWindow(capacity, self.shape) for _ in range(2))
        self._pool = DecoderPool(processes or decoders_of_this_process(len(self.files.names)))
        self._interrupted = threading.Event()

    def batch(self, start: int, size: int) -> Batch:
        if self.world_size > 1 and (size != self.batch_size or start % size):
            raise ValueError(f"ranks share whole batches of {self.batch_size}, not {size} at place {start}")
        if start + size > self.until:
            raise ValueError(
                f"places {start} to {start + size} were asked for, and nothing from {self.until} on"
            )
        place, end = self._share(start, size)
        count, pinned = end - place, self.device.type == "cuda"
        images = torch.empty((count, *self.shape), dtype=torch.uint8, pin_memory=pinned)
        labels = torch.empty(count, dtype=torch.int64, pin_memory=pinned)
        done = 0
        while done < count:
            window = self._window_with(place + done)
            rows = window.rows(place + done, end)
            part = slice(done, done + len(rows))
            torch.index_select(window.images, 0, rows, out=images[part])
            torch.index_select(window.labels, 0, rows, out=labels[part])
            done = part.stop
        # Pinned memory is not used again before its copy is over: torch's allocator sees to that. Of other
        # memory nobody does, and Apple's GPU would read what is there by then (pytorch#189690).
        images = images.to(self.device, non_blocking=pinned)
        return images, labels.to(self.device, non_blocking=pinned) if self.labelled else None

    def end_after(self, total_images: int) -> None:
        self.until = -(-total_images // self.batch_size) * self.batch_size

    def interrupt(self) -> None:
        self._interrupted.set()

    def describe(self) -> str:
        window = min(self.order.window, len(self))
        size = format_bytes(self._current.nbytes + self._next.nbytes)
        return f"streamed in windows of {window:,} images, {len(self):,} images, {size} for two windows"

    def close(self) -> None:
        self._pool.close()
        self._current = self._next = _LoadedWindow(0, self.shape)

    def _window_with(self, place: int) -> "_LoadedWindow":
        """The window of this place, whole; the one after it is under way when this returns."""
        if place not in self._current:
            if place not in self._next:  # the first call, or a jump
                self._fill(self._next, place)
            self._next.wait(self._interrupted)
            self._current, self._next = self._next, self._current
        if self._current.end < self.until and self._current.end not in self._next:
            self._fill(self._next, self._current.end)
        return self._current

    def _fill(self, target: "_LoadedWindow", place: int) -> None:
        """Begin to decode the window of `place` into `target`, from there on."""
        target.abandon()
        window = self.order.window_at(place)
        end = min(window.end, self.until)
        numbers = target.assign(window, place, end, self._my_places(place, end))
        images, labels = target.images.numpy(), target.labels.numpy()
        for part in self.files.parts(numbers):
            target.pending.append(
                submit_part(self._pool, self.files, part, images[part.place], labels[part.place])
            )

    def _my_places(self, start: int, end: int) -> np.ndarray:
        places = np.arange(start, end)
        if self.world_size == 1:
            return places
        share = self.batch_size // self.world_size
        return places[places % self.batch_size // share == self.rank]


class _LoadedWindow:
    """Memory for a window's images of one rank, in the order of their numbers, and where each place is."""

    def __init__(self, capacity: int, shape: tuple[int, int, int]):
        self.images = torch.empty((capacity, *shape), dtype=torch.uint8)
        self.labels = torch.empty(capacity, dtype=torch.int64)
        self.pending: list[Future[None]] = []
        self.first_place = self.end = -1
        self._places, self._rows = np.empty(0, np.int64), torch.empty(0, dtype=torch.int64)

    def __contains__(self, place: int) -> bool:
        return self.first_place <= place < self.end

    @property
    def nbytes(self) -> int:
        return self.images.nbytes + self.labels.nbytes

    def assign(self, window: Window, start: int, end: int, places: np.ndarray) -> np.ndarray:
        """Make this the memory of a window from `start` to `end`, of which `places` are this rank's; return
        their image numbers, ascending."""
        numbers = window.numbers[places - window.first_place]
        ascending = np.argsort(numbers)
        rows = np.empty_like(ascending)
        rows[ascending] = np.arange(len(ascending))
        self.first_place, self.end = start, end
        self._places, self._rows = places, torch.from_numpy(rows)
        return numbers[ascending]

    def rows(self, start: int, end: int) -> Tensor:
        """Where the images of this rank's places from `start` to `end` are, as far as this window goes."""
        first, last = np.searchsorted(self._places, [start, end]).tolist()
        return self._rows[first:last]

    def wait(self, interrupted: threading.Event) -> None:
        """Until the window is whole. Raises what went wrong, and `FeedInterrupted`."""
        for future in self.pending:
            while not wait([future], timeout=WAIT_SECONDS).done:
                if interrupted.is_set():
                    raise FeedInterrupted
            future.result()
        self.pending = []

    def abandon(self) -> None:
        """Until nothing is written here any more."""
        for future in self.pending:
            future.cancel()
        wait(self.pending)
        self.pending = []
        self.first_place = self.end = -1


def open_feed(
    store: Store,
    shards: Manifest,
    split: str,
    *,
    order_seed: int,
    window: int,
    batch_size: int,
    labelled: bool,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
    memory_limit_bytes: int | None = None,
    emit: Callable[[str], None] = logger.info,
) -> TrainingFeed:
    """A split's images, resident on `device` where they fit, else streamed in windows of `window` images.

    They fit where they take, in each process, at most `memory_limit_bytes`, else GAN_MEMORY_LIMIT (`500MB`,
    `8GB`), and never more than three quarters of the free memory (shared by the ranks of this machine) or
    half of a GPU's.

    Raises `StoreError` where two windows do not fit either, `ConfigError` for a batch that the ranks cannot
    share evenly and for a GAN_MEMORY_LIMIT that is no size.
    """
    if batch_size % world_size:
        raise ConfigError(
            f"batch_size {batch_size} cannot be shared evenly by {world_size} processes: make it a multiple"
        )
    device = torch.device(device)
    order = EpochOrder(split_of(shards, split)["images_per_shard"], window, order_seed)
    limit = bytes_of_environment(MEMORY_LIMIT) if memory_limit_bytes is None else memory_limit_bytes
    on_host = _at_most(HOST_SHARE * free_memory() / ranks_here(), limit)
    pixels = math.prod(image_shape(shards))
    ranks = {"rank": rank, "world_size": world_size}
    if len(order) * (pixels + RESIDENT_BYTES) <= min(on_host, _room_on(device, limit, on_host)):
        resident = load_resident(store, shards, split, emit=emit)
        labels = resident.labels.to(device) if labelled else None
        feed: TrainingFeed = ResidentFeed(resident.images.to(device), labels, order, **ranks)
    else:
        _require_two_windows(shards, split, order, batch_size, world_size, on_host)
        feed = StreamedFeed(
            store,
            shards,
            split,
            order,
            batch_size=batch_size,
            labelled=labelled,
            device=device,
            **ranks,
        )
    emit(f"{shards.partition} {split}: {feed.describe()}")
    if isinstance(feed, StreamedFeed):
        emit(f"{shards.partition} {split}: training begins when the first window is decoded")
    return feed


def window_capacity(order: EpochOrder, batch_size: int, world_size: int) -> int:
    """The most images that one rank has in a window."""
    largest = min(len(order), max(order.window, *order.images_per_shard))
    if world_size == 1:
        return largest
    batches = largest // batch_size + 2  # whole ones, and a part of one at each end
    return min(largest, batches * (batch_size // world_size))


def _require_two_windows(
    shards: Manifest, split: str, order: EpochOrder, batch_size: int, world_size: int, room: int
) -> None:
    """Raise `StoreError` unless two windows fit into `room`, with the largest `shuffle_window` that would."""
    an_image = math.prod(image_shape(shards)) + STREAMED_BYTES
    needed = 2 * an_image * window_capacity(order, batch_size, world_size)
    if needed <= room:
        return
    largest_shard = max(order.images_per_shard)
    images = room // (2 * an_image)  # that one rank may have in a window
    fits = max(images, images * world_size - 2 * batch_size)
    if fits >= largest_shard:
        remedy = f"set the experiment's `shuffle_window` to {fits:,} or less"
    else:
        remedy = (
            f"even with the least `shuffle_window`, one shard of {largest_shard:,} images, two of them take "
            f"{format_bytes(2 * an_image * largest_shard)}: make "
            "smaller shards with the dataset's `max_shard_mb`"
        )
    raise StoreError(
        f"the {split} split of {shards.partition} does not fit into {format_bytes(room)} of memory, and two "
        f"windows of {min(order.window, len(order)):,} images to stream it through take "
        f"{format_bytes(needed)}: {remedy}, raise {MEMORY_LIMIT} where it is set, or use a machine with more "
        "memory"
    )


def _room_on(device: torch.device, limit: int | None, on_host: int) -> int:
    if device.type == "mps":  # the host's own memory, which holds them twice while they are moved
        return on_host // 2
    if device.type != "cuda":
        return on_host
    return _at_most(DEVICE_SHARE * torch.cuda.mem_get_info(device)[0], limit)


def _at_most(room: float, limit: int | None) -> int:
    return int(room) if limit is None else min(int(room), limit)
