"""Decoded shards that are kept on this machine: to read one takes a hundredth of the time of decoding it."""

import contextlib
import hashlib
import math
import os
import shutil
from pathlib import Path

import numpy as np

from gan_core.data.decoding import ShardFormat

DIGEST = hashlib.sha256().digest_size
# Bytes of the whole folder, and those that stay free beside it: a cache is the last to fill a disk.
AT_MOST = 2**33
LEFT_FREE = 2**31


class DecodedShards:
    """The pixels and labels of shards, in `folder`, by the sha256 of the shard that they are of.

    A file has int64 labels (n,), uint8 images (n, C, H, W) and the sha256 of both. One that cannot be read
    or written, or is damaged, counts as not there: all of them may be removed at any time. Those that were
    not used for longest go where they would be more than `AT_MOST` bytes together, and none is written that
    would leave less than `LEFT_FREE` on the disk.
    """

    def __init__(self, folder: Path, expected: ShardFormat):
        self.folder, self.shape, self.classes = folder, expected.shape, expected.classes

    def read(self, shard: str, rows: np.ndarray | None, images: np.ndarray, labels: np.ndarray) -> bool:
        """Fill `images` and `labels` with those at `rows` (ascending; None: all) of the shard with this
        sha256; whether they are there."""
        try:
            content = self._path(shard).read_bytes()
        except OSError:
            return False
        count, rest = divmod(len(content) - DIGEST, self._image_bytes + labels.itemsize)
        body = memoryview(content)[:-DIGEST]
        if count < 1 or rest or hashlib.sha256(body).digest() != content[-DIGEST:]:
            return False
        places = slice(None) if rows is None else rows
        found_labels = np.frombuffer(body, np.int64, count)[places]
        if len(found_labels) != len(labels):
            return False
        labels[:] = found_labels
        images[:] = np.frombuffer(body, np.uint8, offset=count * labels.itemsize).reshape(-1, *self.shape)[
            places
        ]
        with contextlib.suppress(OSError):
            os.utime(self._path(shard))  # used now
        return True

    def write(self, shard: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Keep all images of a shard, uint8 (n, C, H, W), and their labels, int64 (n,)."""
        path = self._path(shard)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        digest = hashlib.sha256()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not self._makes_room(labels.nbytes + images.nbytes + DIGEST):
                return
            with temporary.open("wb") as file:
                for part in (labels.data, images.data):
                    digest.update(part)
                    file.write(part)
                file.write(digest.digest())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _makes_room(self, size: int) -> bool:
        """Whether so many bytes may be written; the oldest files go for them, also what a killed process
        left of one."""
        files = [(path, path.stat()) for path in self.folder.rglob("*") if path.is_file()]
        files.sort(key=lambda file: file[1].st_mtime)
        together = size + sum(status.st_size for _, status in files)
        for path, status in files:
            if together <= AT_MOST:
                break
            path.unlink(missing_ok=True)
            together -= status.st_size
        return together <= AT_MOST and shutil.disk_usage(self.folder).free - size >= LEFT_FREE

    @property
    def _image_bytes(self) -> int:
        return math.prod(self.shape)

    def _path(self, shard: str) -> Path:
        shape = "x".join(map(str, self.shape))
        return self.folder / shard[:2] / f"{shard}-{shape}-{self.classes}"
