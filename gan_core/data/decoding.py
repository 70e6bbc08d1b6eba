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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

import gan_core
from gan_core.data.pixels import decode_png
from gan_core.data.tars import read_tar
from gan_core.errors import StoreError

FRAME = 2**18  # bytes of pixels that a process collects before it writes them
HEADER = struct.Struct("<q")  # images in the frame; 0: the end; negative: minus the length of an error's text


class DecoderPool:
    """`processes` decoders. Close it: that ends them, in the middle of a shard too."""

    def __init__(self, processes: int):
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decoder")
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        self._decoders: list[_Decoder] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(
        self, locate: Callable[[], Path], rows: np.ndarray | None, images: np.ndarray, labels: np.ndarray
    ) -> Future[None]:
        """Decode some images of a shard into `images` uint8 (n, C, H, W) and `labels` int64 (n,).

        `rows` are the places of these n images in the shard, ascending; None: the shard has n, and all are
        meant. `locate` gives the shard's path, and is called in the background. A label is -1 where there
        is none. The future raises what `locate` raises, and `StoreError` for a shard that does not decode.
        """
        return self._threads.submit(self._decode, locate, rows, images, labels)

    def close(self) -> None:
        """End the processes and wait until nothing runs any more; work that is not done raises."""
        with self._lock:
            self._closed = True
            for decoder in self._decoders:
                decoder.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for decoder in self._decoders:
            decoder.wait()

    def _decode(self, locate, rows, images, labels) -> None:
        path = locate()
        decoder = self._take()
        try:
            decoder.decode(path, rows, images, labels)
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


def decode_into(path: Path, rows: np.ndarray | None, images: np.ndarray, labels: np.ndarray) -> None:
    """What `DecoderPool.submit` does, here and now."""
    start = 0
    for some, their_labels in _frames(path, rows, images.shape):
        stop = start + len(some)
        images[start:stop], labels[start:stop] = some, their_labels
        start = stop


class _Decoder:
    """One process, and the two pipes to it."""

    def __init__(self):
        packages = str(Path(gan_core.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # numpy would start one a core
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: nothing is imported from the current folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **one_thread},
            pipesize=2**20,
            process_group=0,  # Ctrl-C in a terminal is for the training, which still wants its images
        )

    def decode(self, path: Path, rows: np.ndarray | None, images: np.ndarray, labels: np.ndarray) -> None:
        wanted = None if rows is None else rows.tolist()
        request = {"path": str(path), "rows": wanted, "shape": images.shape}
        start = 0
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            while count := self._header():
                if count < 0:
                    raise StoreError(self._read(bytearray(-count)).decode())
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
    path: Path, rows: np.ndarray | list[int] | None, shape: tuple[int, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images at `rows` of a shard, (n, C, H, W) and labels (n,), some at a time; `shape` is that of all.

    Raises `StoreError` where the shard is damaged, or does not have these images and, with None, no others.
    """
    with _named(path):
        count, *image_shape = shape
        per_frame = max(1, FRAME // math.prod(image_shape))
        samples = read_tar(path)
        chosen = samples if rows is None else _at(samples, rows)
        found = 0
        while frame := list(itertools.islice(chosen, per_frame)):
            found += len(frame)
            if found > count:
                break
            images = np.stack([decode_png(png or b"") for _, png, _ in frame])
            if images.shape[1:] != tuple(image_shape):
                raise ValueError(f"its images have the shape {images.shape[1:]}, not {tuple(image_shape)}")
            labels = [-1 if label is None else label for _, _, label in frame]
            yield images, np.array(labels, dtype=np.int64)
        if found != count:
            raise ValueError("it has more or fewer images than its manifest says")


def _at(samples: Iterable, places: Iterable[int]) -> Iterator:
    """The samples at these ascending places."""
    samples, passed = iter(samples), 0
    for place in places:
        yield from itertools.islice(samples, place - passed, place - passed + 1)
        passed = place + 1


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever a damaged shard makes Pillow and the tar reader raise, as a `StoreError` that names it."""
    try:
        yield
    except (OSError, EOFError, ValueError, SyntaxError) as error:
        raise StoreError(
            f"{path} cannot be decoded: {error}; materialise image_shards again with force"
        ) from error


def _serve() -> None:
    """Answer requests, a line of JSON each, until the other end of the pipe is closed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the parent is gone: end without a word
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        try:
            for images, labels in _frames(**json.loads(line)):
                out.write(HEADER.pack(len(images)) + labels.tobytes())
                out.write(images.tobytes())
            out.write(HEADER.pack(0))
        except StoreError as error:
            text = str(error).encode()
            out.write(HEADER.pack(-len(text)) + text)
        out.flush()


if __name__ == "__main__":
    _serve()
