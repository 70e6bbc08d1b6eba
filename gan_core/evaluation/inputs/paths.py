"""The images of a folder, an archive (zip, tar) or WebDataset shards, for `evaluate --real … --fake …`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gan_core.data.pixels import Look, look_at, open_image, to_mode, to_square, upright
from gan_core.data.sources.file_collections import file_system, is_local, open_files
from gan_core.data.sources.files import Files
from gan_core.data.sources.folders import FolderFiles
from gan_core.data.sources.images import IMAGE_EXTENSIONS, check_left_out, find_images
from gan_core.errors import EvaluationError, GanError
from gan_core.evaluation.extraction import KeyedImage, in_order
from gan_core.evaluation.inputs.base import Images, leave_out
from gan_core.progress import Progress
from gan_core.secrets import masked


class PathImages(Images):
    """The images under `location` (a path or fsspec URL), in the order of their names.

    `location` is a folder of images at any depth, a folder of tars, a zip or a tar, or several of these by a
    glob with `*`; what has to be copied or decompressed goes to `cache`. A folder with tars at its top is one
    of tars, whatever pictures lie beside them. A location without images, or with tars of several kinds (as
    samples-*.tar and untrained-*.tar), is an `EvaluationError`, one that is missing or damaged a
    `SourceError`.
    """

    def __init__(self, location: str, cache: Path, emit: Callable[[str], None]):
        super().__init__()
        self.location = masked(location)
        self.name = self.location.rstrip("/").rpartition("/")[2]
        places = _matches(location) if "*" in location else [location]
        self.images = [image for place in places for image in _find_images(place, cache, emit)]
        if not self.images:
            raise EvaluationError(
                f"{location} holds no images ({' '.join(IMAGE_EXTENSIONS)}), nor tars that hold some: "
                "name a folder, an archive or shards of images"
            )

    def __len__(self) -> int:
        return len(self.images)

    def look(self, emit: Callable[[str], None]) -> None:
        """See `Images.look` and `look_at`."""
        whole = []
        self.looks, self.left_out = {}, []
        progress = Progress(f"looking at {self.name}", len(self.images), emit=emit)
        for image, found in zip(self.images, in_order(_look, self.images), strict=True):
            if isinstance(found, Look):
                self.looks.setdefault(found, image[1])
                whole.append(image)
            else:
                self.left_out.append((image[1], found))
            progress.advance(1)
        self.images = whole
        leave_out(self, emit)

    def _decoded(self, channels: int, image_size: int | None) -> Iterator[KeyedImage]:
        """EXIF orientation is applied, as in shards."""

        def read(image: tuple[Files, str]) -> KeyedImage:
            files, name = image
            content = files.read(name)
            try:
                return name, _decode(content, channels, image_size), None
            except MemoryError:
                raise
            except Exception as error:  # a damaged file makes Pillow raise almost anything
                raise EvaluationError(
                    f"{files.location}: image {name} does not decode ({error}): repair or remove it"
                ) from error

        return in_order(read, self.images)


def _look(image: tuple[Files, str]) -> Look | str:
    """What an image is, or why it is left out."""
    files, name = image
    try:
        return look_at(files.read(name))
    except (MemoryError, GanError):
        raise
    except Exception as error:
        return str(error) or type(error).__name__


def _decode(content: bytes, channels: int, image_size: int | None) -> np.ndarray:
    image = open_image(content)
    if image_size:
        return to_square(image, image_size, channels, "resize_then_crop")
    array = np.asarray(to_mode(upright(image), "L" if channels == 1 else "RGB"))
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _matches(pattern: str) -> list[str]:
    """The paths or URLs that a glob matches, sorted."""
    try:
        fs, path = file_system(pattern)
        found = sorted(fs.glob(path))
    except (OSError, ValueError, ImportError) as error:
        raise EvaluationError(f"{pattern} cannot be reached: {error}; check the path") from error
    if not found:
        raise EvaluationError(f"{pattern} matches no file: check the path")
    return [name if is_local(fs) else fs.unstrip_protocol(name) for name in found]


def _find_images(location: str, cache: Path, emit: Callable[[str], None]) -> list[tuple[Files, str]]:
    files = open_files(location, cache, emit)
    found = find_images(files)[0]
    tars = _tars(files.names(), bool(found)) if isinstance(files, FolderFiles) else []
    if not tars:
        return _images(files, emit)
    _check_one_kind(location, tars)
    if found:
        emit(f"{masked(location)}: the images in its tars are read, not the {len(found):,} beside them")
    shards = [open_files(f"{location.rstrip('/')}/{name}", cache, emit) for name in tars]
    return [image for shard in shards for image in _images(shard, emit)]


def _images(files: Files, emit: Callable[[str], None]) -> list[tuple[Files, str]]:
    """The images of some files; more than 1% that cannot be read are a `SourceError`."""
    names, left_out = find_images(files)
    check_left_out(files.location, len(names), left_out, emit)
    return [(files, name) for name in names]


def _tars(names: list[str], beside_images: bool) -> list[str]:
    """The tars at the top of a folder; where there are neither these nor images, those at any depth."""
    tars = [name for name in names if name.lower().endswith(".tar")]
    at_top = [name for name in tars if "/" not in name]
    return at_top or ([] if beside_images else tars)


def _check_one_kind(location: str, tars: list[str]) -> None:
    """Tars whose names differ in more than numbers are not one set of images."""
    kinds = sorted({re.sub(r"\d+", "*", name) for name in tars})
    if len(kinds) > 1:
        raise EvaluationError(
            f"{location} holds tars of several kinds: {', '.join(kinds)}: name those of one kind by a glob, "
            f"as '{location.rstrip('/')}/{kinds[0]}', or name a single tar"
        )
