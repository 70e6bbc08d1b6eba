"""Images in an array: a `.npy` file, or one array of an `.npz` file."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from gan_core.data.pixels import Look, to_square
from gan_core.data.sources.file_collections import fetch
from gan_core.data.sources.files import DAMAGE
from gan_core.errors import EvaluationError
from gan_core.evaluation.extraction import KeyedImage, in_order
from gan_core.evaluation.inputs.base import Images, in_channels
from gan_core.secrets import masked

ENDINGS = (".npy", ".npz")
# Of several arrays in an .npz file, the names by which images are known: ours, and what `numpy.savez` gives.
KEYS = ("images", "arr_0")
REMEDY = "save uint8 of the shape (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or (N, H, W)"


def is_array(location: str) -> bool:
    return location.lower().endswith(ENDINGS)


class ArrayImages(Images):
    """The images of an array, uint8 (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or (N, H, W).

    The array is mapped into memory, of an .npz file by way of a temporary copy. Anything else is an
    `EvaluationError`.
    """

    def __init__(self, location: str, cache: Path, emit: Callable[[str], None]):
        super().__init__()
        self.location = masked(location)
        self.name = self.location.rpartition("/")[2]
        path = fetch(location, cache, emit)
        try:
            array = _of_archive(path) if location.lower().endswith(".npz") else _mapped(path)
        except DAMAGE as error:
            raise EvaluationError(f"{self.location} is no array of numpy's: {error}") from error
        self.array = _in_channels_first(array, self.location)

    def __len__(self) -> int:
        return len(self.array)

    def look(self, emit: Callable[[str], None]) -> None:
        channels, height, width = self.array.shape[1:]
        self.looks = {Look(width, height, channels): "0"}

    def _decoded(self, channels: int, image_size: int | None) -> Iterator[KeyedImage]:
        def read(index: int) -> KeyedImage:
            image = np.ascontiguousarray(self.array[index])
            if image_size:
                pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
                picture = Image.fromarray(np.ascontiguousarray(pixels))
                image = to_square(picture, image_size, channels, "resize_then_crop")
            return str(index), in_channels(image, channels), None

        return in_order(read, range(len(self)))


def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _of_archive(path: Path) -> np.ndarray:
    """The array of images in an .npz file, unpacked into a file that ends with this process's use of it."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if {"mu", "sigma"} <= set(names):
            raise ValueError("it holds statistics, not images: statistics can stand for real images only")
        key = next((key for key in KEYS if key in names), names[0] if len(names) == 1 else None)
        if key is None:
            raise ValueError(f"of its arrays {', '.join(names)} none is called {' or '.join(KEYS)}")
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "images.npy"
            with archive.open(f"{key}.npy") as source, unpacked.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            return _mapped(unpacked)  # what is mapped stays until it is no longer used


def _in_channels_first(array: np.ndarray, where: str) -> np.ndarray:
    """(N, C, H, W) without a copy."""
    if array.dtype != np.uint8:
        floats = np.issubdtype(array.dtype, np.floating)
        how = "multiply values of 0..1 by 255, round them, and save uint8" if floats else "save uint8"
        raise EvaluationError(f"{where} holds {array.dtype}, whose range is not known to be 0..255: {how}")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif not (array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[-1] not in (1, 3)):
        raise EvaluationError(f"{where} has the shape {array.shape}: {REMEDY}")
    if 0 in array.shape:
        raise EvaluationError(f"{where} holds no images, its shape is {array.shape}: {REMEDY}")
    return array
