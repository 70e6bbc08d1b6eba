"""What every kind of source can do, and the order that its images come in."""

import abc
import itertools
from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image


class Entry(NamedTuple):
    """One image of a source: a key that is unique in its split, and the class where there is one."""

    key: str
    class_name: str | None


class Source(abc.ABC):
    """The images of one split, in an order that never changes.

    A source can be pickled and reads at random access, so that several processes can share the work.
    `location` is where the images are, for people. `remote` tells that a read waits for a network. `left_out`
    are (name, reason) of what seems to be an image and is none of `entries`.
    """

    location: str
    remote = False
    left_out: Sequence[tuple[str, str]] = ()

    @abc.abstractmethod
    def entries(self, limit: int | None = None) -> Iterable[Entry]:
        """The first `limit` images (None: all), taken in turn from every class where there are classes.

        A list, or an iterator where a list of millions would take gigabytes.
        """

    def count(self, limit: int | None = None) -> int:
        """How many `entries(limit)` are. A source that knows without listing them says so here."""
        entries = self.entries(limit)
        return len(entries) if isinstance(entries, Sized) else sum(1 for _ in entries)

    @abc.abstractmethod
    def read(self, entry: Entry) -> bytes:
        """An image's bytes, as they are stored. Raises `SourceError` if they cannot be had."""

    @abc.abstractmethod
    def signature(self) -> Any:
        """What changes, in all likelihood, when the images change: sizes, times, ETags. Costs no reading."""

    def decode(self, content: bytes) -> "Image.Image":
        """The picture in what `read` returned; raises whatever Pillow raises where it is damaged."""
        from gan_core.data.pixels import open_image  # definitions load this file, and need no Pillow

        return open_image(content)


def is_held_out(sha256: str, fraction: float) -> bool:
    """Whether an image with this hash (hexadecimal) belongs to the test split: `fraction` of all images do,
    and copies of an image stay together."""
    return int(sha256[:16], 16) < fraction * 2**64


def interleave(groups: Iterable[Sequence[Entry]]) -> list[Entry]:
    """The first of every group, then the second of every group, and so on."""
    rows = itertools.zip_longest(*groups)
    return [entry for row in rows for entry in row if entry is not None]
