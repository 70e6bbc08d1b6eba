"""What all images that are measured from outside a store have in common."""

import abc
import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from gan_core.data.pixels import Look
from gan_core.errors import EvaluationError
from gan_core.evaluation.extraction import KeyedImage

# More of a set of images may not be damaged.
MOST_LEFT_OUT = 0.01


class Images(abc.ABC):
    """Images at a location, in a fixed order.

    `location` is where they are, for messages, and `name` its last part, for protocols. `looks`: by what an
    image is (size and channels), the name of the first such one. `left_out`: (name, reason) of those that are
    damaged, which `len` does not count. Both are known after `look`.
    """

    location: str
    name: str

    def __init__(self) -> None:
        self.looks: dict[Look, str] = {}
        self.left_out: list[tuple[str, str]] = []
        self._digest = hashlib.sha256()

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def look(self, emit: Callable[[str], None]) -> None:
        """Find out what the images are, cheaply, and leave out damaged ones; an `EvaluationError` where those
        are more than 1%."""

    @abc.abstractmethod
    def _decoded(self, channels: int, image_size: int | None) -> Iterator[KeyedImage]: ...

    def decoded(self, channels: int, image_size: int | None = None) -> Iterator[KeyedImage]:
        """(name, uint8 (channels, H, W), None), a few images in memory.

        With `image_size` an image becomes a square of that side (short side resized, centre cut out);
        without, it keeps its own size. An image that does not decode is an `EvaluationError`.
        """
        self._digest = hashlib.sha256()
        for name, image, label in self._decoded(channels, image_size):
            self._digest.update(repr(image.shape).encode() + image.tobytes())
            yield name, image, label

    @property
    def content_hash(self) -> str:
        """sha256 of the pixels that the last `decoded` has given, as 64 hex digits."""
        return self._digest.hexdigest()

    @property
    def shape(self) -> str:
        """Size and channels as protocols have them: `32x32x3`, with `mixed` for what is not all the same."""
        sizes = {f"{look.width}x{look.height}" for look in self.looks}
        channels = {str(look.channels) for look in self.looks}
        return "x".join(found.pop() if len(found) == 1 else "mixed" for found in (sizes, channels))

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of all images; None where they differ."""
        sizes = {(look.width, look.height) for look in self.looks}
        return sizes.pop() if len(sizes) == 1 else None

    def require_one_size(self) -> None:
        """An `EvaluationError` that names two images where not all have one size."""
        first, *others = self.looks.items()
        for look, name in others:
            if (look.width, look.height) != (first[0].width, first[0].height):
                raise EvaluationError(
                    f"{self.location}: image {name} is {look.width}x{look.height}, but {first[1]} is "
                    f"{first[0].width}x{first[0].height}: bring all images to one size (`image_size`)"
                )


def leave_out(images: Images, emit: Callable[[str], None]) -> None:
    """Say which images are left out; an `EvaluationError` where they are more than 1%."""
    if not images.left_out:
        return
    damaged, total = len(images.left_out), len(images.left_out) + len(images)
    name, reason = images.left_out[0]
    more = f" and {damaged - 1:,} more" if damaged > 1 else ""
    first = f"image {name} does not decode ({reason}){more}"
    if damaged > MOST_LEFT_OUT * total:
        raise EvaluationError(
            f"{images.location}: {first}, {damaged:,} of {total:,} and more than 1%: repair or remove "
            f"{'them' if more else 'it'}"
        )
    emit(f"{images.location}: {first}: left out")


def in_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (C, H, W) of 1 or 3 channels in 1 or 3; grey is made of colours as Pillow does (ITU-R 601)."""
    if len(image) == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=0)
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).convert("L"))[None]
