"""A training's figures for TensorBoard, written while it runs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from gan_core.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.training.records.history import Row

logger = logging.getLogger("gan_core")
FOLDER = "tensorboard"
COLUMNS = 8


def tensorboard_folder(store: Store, experiment: str, fingerprint: str) -> Path:
    """`tensorboard/<experiment>/<fingerprint>` in a local store, else in its local cache."""
    root = Path(store.root) if store.is_local else store.cache
    return root / FOLDER / experiment / fingerprint[:12]


class TensorBoardLog:
    """Scalars and sample images by images seen. A resumed run replaces what lies beyond its checkpoint.

    A folder that cannot be written ends the log with a warning, not the training.

    The file is the one that `torch.utils.tensorboard.SummaryWriter` writes: TensorBoard's own messages, as
    TFRecords. That class takes a second or more to import, because it looks for TensorFlow and for S3.
    """

    def __init__(self, folder: Path, images_seen: int):
        self.folder = folder
        self._file = None
        with self._telling():
            folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads the files of a run in the order of their names.
            name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
            self._file = (folder / name).open("xb")
        self._write(file_version="brain.Event:2")
        self._write(step=images_seen + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, row: Row, group: str) -> None:
        """A row of figures, each as `<group>/<name>`."""
        values = [
            Summary.Value(tag=f"{group}/{name}", simple_value=value)
            for name, value in row.items()
            if name != "images_seen"
        ]
        self._write(step=row["images_seen"], summary=Summary(value=values))

    def add_samples(self, images_seen: int, samples: Tensor) -> None:
        """uint8 (n, C, H, W), as a grid."""
        from gan_core.images import grid_png

        png = grid_png(samples, COLUMNS)
        width, height = struct.unpack(">II", png[16:24])  # in every PNG's first chunk
        grid = Summary.Image(
            width=width, height=height, colorspace=samples.shape[1], encoded_image_string=png
        )
        self._write(step=images_seen, summary=Summary(value=[Summary.Value(tag="samples", image=grid)]))

    def close(self) -> None:
        if self._file:
            with self._telling():
                self._file.close()

    def _write(self, **content) -> None:
        if self._file:
            with self._telling():
                self._file.write(_record(Event(wall_time=time.time(), **content).SerializeToString()))
                self._file.flush()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._file = None
            logger.warning("nothing more is written for TensorBoard: %s: %s", self.folder, error)


def _record(content: bytes) -> bytes:
    """A TFRecord: length, its masked CRC, content, its masked CRC, little-endian.

    Source: tensorflow/core/lib/io/record_writer.h and tensorflow/core/lib/hash/crc32c.h.
    """
    length = struct.pack("<Q", len(content))
    return b"".join([length, _masked_crc(length), content, _masked_crc(content)])


def _masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
