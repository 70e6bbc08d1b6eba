"""The images of a folder, an archive (zip, tar) or WebDataset shards, for `evaluate --real … --fake …`."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gan_core.data.pixels import open_image, to_mode, to_square
from gan_core.data.sources.files import Files, open_files
from gan_core.data.sources.images import IMAGE_EXTENSIONS
from gan_core.errors import EvaluationError
from gan_core.evaluation.extraction import KeyedImage


class PathImages:
    """The images under `location` (a path or fsspec URL), in the order of their names.

    `location` is a folder of images at any depth, a folder of tars, a zip or a tar; what has to be copied or
    decompressed goes to `cache`. A location without images is an `EvaluationError`, one that is missing or
    damaged a `SourceError`.
    """

    def __init__(self, location: str, cache: Path, emit: Callable[[str], None]):
        self.location = location
        self.name = location.rstrip("/").rpartition("/")[2]
        files = open_files(location, cache, emit)
        self.images = [(files, name) for name in files.names() if _is_image(name)]
        if not self.images:
            shards = [open_files(f"{location}/{name}", cache, emit) for name in _tars(files)]
            self.images = [(shard, name) for shard in shards for name in shard.names() if _is_image(name)]
        if not self.images:
            raise EvaluationError(
                f"{location} holds no images ({' '.join(IMAGE_EXTENSIONS)}), nor tars that hold some: "
                "name a folder, an archive or shards of images"
            )
        self._digest = hashlib.sha256()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def content_hash(self) -> str:
        """sha256 of the pixels that the last `decoded` has given, as 64 hex digits."""
        return self._digest.hexdigest()

    def decoded(self, channels: int, image_size: int | None = None) -> Iterator[KeyedImage]:
        """(name, uint8 (channels, H, W), None), one image in memory.

        With `image_size` an image becomes a square of that side (short side resized, centre cut out);
        without, it keeps its own size. An image that does not decode is an `EvaluationError`.
        """
        self._digest = hashlib.sha256()
        for files, name in self.images:
            try:
                image = _decode(files.read(name), channels, image_size)
            except (OSError, ValueError, SyntaxError) as error:
                raise EvaluationError(
                    f"{files.location}: image {name} does not decode ({error}): repair or remove it"
                ) from error
            self._digest.update(repr(image.shape).encode() + image.tobytes())
            yield name, image, None


def _decode(content: bytes, channels: int, image_size: int | None) -> np.ndarray:
    image = open_image(content)
    if image_size:
        return to_square(image, image_size, channels, "resize_then_crop")
    array = np.asarray(to_mode(image, "L" if channels == 1 else "RGB"))
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_EXTENSIONS)


def _tars(files: Files) -> list[str]:
    return [name for name in files.names() if name.lower().endswith(".tar")]
