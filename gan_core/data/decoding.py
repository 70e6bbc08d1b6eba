"""Decode shards in processes of their own, straight into memory that the caller gives.

Pillow holds Python's lock for a third of the time that a small image takes: two threads decode fewer images
than one, and slow down whoever trains beside them. The processes import numpy and Pillow only, write pixels
into a pipe that is read without the lock, hold one frame of images each, and end when their parent does.
"""

import contextlib
import itertools
import json
import math
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

import gan_core
from gan_core.data.pixels import decode_png
from gan_core.data.tars import read_tar
from gan_core.errors import ConfigError, StoreError
from gan_core.remedies import how_to_make

FRAME = 2**18  # bytes of pixels that a process collects before it writes them
HEADER = struct.Struct("<q")  # images in the frame; 0: the end; negative: minus the length of an error's text
DECODERS = "GAN_DECODERS"
MOST_DECODERS = 32  # more read faster than one GPU trains, and take 40 MB of memory each


@dataclass(frozen=True)
class ShardFormat:
    """What every image in the shards of the dataset `partition` is.

    `shape`: (C, H, W). `classes`: how many there are; with 0 an image has none.
    """

    partition: str
    shape: tuple[int, int, int]
    classes: int

    def decode(self, png: bytes) -> np.ndarray:
        """uint8 (C, H, W). Raises `ValueError` where it is no such image."""
        try:
            return decode_png(png, self.shape)
        except (MemoryError, ValueError):
            raise
        except UnidentifiedImageError as error:  # Pillow's message holds an address in memory
            raise ValueError("does not decode: it is no PNG") from error
        except Exception as error:  # a damaged file makes Pillow raise almost anything
            raise ValueError(f"does not decode: {error}") from error

    def check_label(self, label: int | None) -> None:
        """Raises `ValueError` where it is no class of these images."""
        if label is None and self.classes:
            raise ValueError(f"has no .cls, but there are {self.classes} classes")
        if label is not None and not 0 <= label < self.classes:
            raise ValueError(f"has class {label}, but there are {self.classes} classes")

    def unreadable(self, reason: object) -> StoreError:
        """The error for a shard that is not what it must be; `reason` names the file."""
        return StoreError(f"{reason}; {how_to_make('image_shards', self.partition, force=True)}")


def decoders_of_this_process(shards: int) -> int:
    """How many decoders pay for so many shards: one per core that this process may use.

    The processes of one training on a machine divide the cores among them, as their environment says. At most
    32, and none without a shard of its own; GAN_DECODERS says another number. Raises `ConfigError` where
    that is none.
    """
    import joblib  # not in the decoders

    asked = os.environ.get(DECODERS)
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ConfigError(f"the environment variable {DECODERS} is `{asked}`: give a whole number from 1")
        return min(int(asked), shards)
    return max(1, min(joblib.cpu_count() // ranks_here(), MOST_DECODERS, shards))


def ranks_here() -> int:
    """The processes of this training on this machine, as its environment says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class DecoderPool:
    """At most `processes` decoders, started when they are needed. Close it: that ends them, in the middle of
    a shard too."""

    def __init__(self, processes: int):
        self.processes = processes
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decoder")
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        self._decoders: list[_Decoder] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(
        self,
        locate: Callable[[], Path],
        rows: np.ndarray | None,
        images: np.ndarray,
        labels: np.ndarray,
        expected: ShardFormat,
    ) -> Future[None]:
        """Decode some images of a shard into `images` uint8 (n, C, H, W) and `labels` int64 (n,).

        `rows` are the places of these n images in the shard, ascending; None: the shard has n, and all are
        meant. `locate` gives the shard's path, and is called in the background. A label is -1 where there
        is none. The future raises what `locate` raises, and `StoreError` for a shard that does not decode or
        holds something else than `expected`.
        """
        return self._threads.submit(self._decode, locate, rows, images, labels, expected)

    def close(self) -> None:
        """End the processes and wait until nothing runs any more; work that is not done raises."""
        with self._lock:
            self._closed = True
            for decoder in self._decoders:
                decoder.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for decoder in self._decoders:
            decoder.wait()

    def _decode(self, locate, rows, images, labels, expected) -> None:
        path = locate()
        decoder = self._take()
        try:
            decoder.decode(path, rows, images, labels, expected)
        except BaseException:
            decoder.kill()  # it may be in the middle of an answer
            raise
        self._idle.put(decoder)

    def _take(self) -> "_Decoder":
        """An idle process, or a new one."""
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._lock:
            if self._closed:
                raise StoreError("the decoders were closed")
            self._decoders.append(_Decoder())
            return self._decoders[-1]


def decode_into(
    path: Path, rows: np.ndarray | None, images: np.ndarray, labels: np.ndarray, expected: ShardFormat
) -> None:
    """What `DecoderPool.submit` does, here and now."""
    start = 0
    try:
        for some, their_labels in _frames(path, rows, len(images), expected):
            stop = start + len(some)
            images[start:stop], labels[start:stop] = some, their_labels
            start = stop
    except _Unreadable as error:
        raise expected.unreadable(error) from error


class _Unreadable(Exception):
    """What is wrong with a shard, which it names."""


class _Decoder:
    """One process, and the two pipes to it."""

    def __init__(self):
        packages = str(Path(gan_core.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # numpy would start one a core
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: nothing is imported from the current folder
            stdin=subprocess.PIPE,  # of the size that the system gives: larger ones are no faster, and an
            stdout=subprocess.PIPE,  # ordinary user may have 64 of a megabyte
            env={**os.environ, "PYTHONPATH": path, **one_thread},
            process_group=0,  # Ctrl-C in a terminal is for the training, which still wants its images
        )

    def decode(
        self,
        path: Path,
        rows: np.ndarray | None,
        images: np.ndarray,
        labels: np.ndarray,
        expected: ShardFormat,
    ) -> None:
        request = {
            "path": str(path),
            "rows": None if rows is None else rows.tolist(),
            "count": len(images),
            "expected": asdict(expected),
        }
        start = 0
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            while count := self._header():
                if count < 0:
                    raise expected.unreadable(self._read(bytearray(-count)).decode())
                self._read(labels[start : start + count])
                self._read(images[start : start + count])
                start += count
        except (EOFError, BrokenPipeError) as error:
            raise StoreError(
                f"the process that decodes {path} has ended with code {self.process.wait()}: where it was "
                "killed, the machine may be short of memory"
            ) from error

    def kill(self) -> None:
        self.process.kill()

    def wait(self) -> None:
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # a request that it did not live to read
            self.process.stdin.close()

    def _header(self) -> int:
        return HEADER.unpack(self._read(bytearray(HEADER.size)))[0]

    def _read(self, target):
        """Fill `target` with the next bytes of the answer and return it."""
        view = memoryview(target).cast("B")
        while view:
            count = self.process.stdout.readinto(view)
            if not count:
                raise EOFError
            view = view[count:]
        return target


def _frames(
    path: Path, rows: np.ndarray | list[int] | None, count: int, expected: ShardFormat
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The `count` images at `rows` of a shard, (n, C, H, W) and labels (n,), some at a time.

    Raises `_Unreadable` where the shard is damaged, or does not have these images and, with None, no others.
    """
    found = 0
    decoded = _decoded(path, rows, expected)
    while frame := list(itertools.islice(decoded, max(1, FRAME // math.prod(expected.shape)))):
        found += len(frame)
        if found > count:
            break
        images, labels = zip(*frame, strict=True)
        yield np.stack(images), np.array(labels, dtype=np.int64)
    if found != count:
        raise _Unreadable(f"{path} has more or fewer images than its manifest says")


def _decoded(
    path: Path, rows: np.ndarray | list[int] | None, expected: ShardFormat
) -> Iterator[tuple[np.ndarray, int]]:
    """Pixels and label (-1: none) of a shard's images, one by one."""
    try:
        for key, png, label in read_tar(path, rows):
            try:
                expected.check_label(label)
                yield expected.decode(png), -1 if label is None else label
            except ValueError as error:
                raise ValueError(f"{path}: `{key}` {error}") from error
    except OSError as error:
        raise _Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, ValueError) as error:
        raise _Unreadable(str(error)) from error


def _serve() -> None:
    """Answer requests, a line of JSON each, until the other end of the pipe is closed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the parent is gone: end without a word
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            expected = ShardFormat(**request.pop("expected"))
            for images, labels in _frames(**request, expected=expected):
                out.write(HEADER.pack(len(images)) + labels.tobytes())
                out.write(images.tobytes())
            out.write(HEADER.pack(0))
        except _Unreadable as error:
            text = str(error).encode(errors="backslashreplace")
            out.write(HEADER.pack(-len(text)) + text)
        out.flush()


if __name__ == "__main__":
    _serve()
