"""Images that are made of three single digits each, one in each channel."""

import hashlib
import struct
from typing import Any

import numpy as np
from PIL import Image

from gan_core.data.sources.base import Entry, Source, is_held_out
from gan_core.errors import SourceError

SIZE = struct.Struct("<HH")  # height and width, before the pixels


def part_of(source: Source, split: str, fraction: float) -> list[Entry]:
    """The digits of one split where `fraction` of the source's are held out, as of any other dataset."""
    entries = list(source.entries())
    of_test = [is_held_out(hashlib.sha256(source.read(entry)).hexdigest(), fraction) for entry in entries]
    return [entry for entry, held in zip(entries, of_test, strict=True) if held == (split == "test")]


class StackedSource(Source):
    """`images` times three of `digits`, entries of `source`, drawn with repetition; the class is the three
    classes in a row, `000` to `999`.

    An image's bytes are its height and width and its raw pixels, uint8 (H, W, 3). The draw depends on `seed`,
    the split and the number of digits, and its first images are the same whatever their number. As the order
    is random, a `limit` takes classes in the proportions of the digits.
    """

    def __init__(self, source: Source, digits: list[Entry], split: str, images: int, seed: int):
        if not digits:
            raise SourceError(f"{source.location} has no digits for the {split} split: check `test_fraction`")
        self.source, self.digits, self.images = source, digits, images
        self.drawn_by = [split, seed]
        self.location, self.remote = f"three digits each of {source.location}", source.remote
        self.left_out = source.left_out

    def entries(self, limit: int | None = None) -> list[Entry]:
        names = np.array([entry.class_name for entry in self.digits])
        drawn = self._drawn()[:limit]
        return [Entry(f"{number:06d}", "".join(three)) for number, three in enumerate(names[drawn].tolist())]

    def count(self, limit: int | None = None) -> int:
        return self.images if limit is None else min(limit, self.images)

    def read(self, entry: Entry) -> bytes:
        channels = [self._digit(number) for number in self._drawn()[int(entry.key)].tolist()]
        if len({channel.shape for channel in channels}) > 1:
            raise SourceError(
                f"{self.source.location} has digits of different sizes, which cannot be stacked: bring them "
                "to one size"
            )
        return SIZE.pack(*channels[0].shape) + np.stack(channels, axis=2).tobytes()

    def decode(self, content: bytes) -> Image.Image:
        height, width = SIZE.unpack_from(content)
        pixels = np.frombuffer(content, dtype=np.uint8, offset=SIZE.size)
        return Image.fromarray(pixels.reshape(height, width, 3))

    def signature(self) -> Any:
        return [self.source.signature(), self.drawn_by, self.images, len(self.digits)]

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_numbers"}

    def _drawn(self) -> np.ndarray:
        """Which digits each image is made of, int64 (images, 3)."""
        if "_numbers" not in self.__dict__:
            split, seed = self.drawn_by
            generator = np.random.RandomState([*split.encode(), seed % 2**32, seed >> 32])
            self._numbers = generator.randint(0, len(self.digits), (self.images, 3))
        return self._numbers

    def _digit(self, number: int) -> np.ndarray:
        """A digit's pixels, uint8 (H, W)."""
        image = self.source.decode(self.source.read(self.digits[number]))
        return np.asarray(image if image.mode == "L" else image.convert("L"))
