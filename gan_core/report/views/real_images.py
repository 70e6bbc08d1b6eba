"""Some real images of a dataset, read from the beginning of its shards."""

import io
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy
from PIL import Image, UnidentifiedImageError

from gan_core.errors import StoreError
from gan_core.remedies import how_to_make
from gan_core.report.views.pictures import Picture, encoded_picture
from gan_core.steps import GRID_COLUMNS, GRID_ROWS
from gan_core.store import Manifest, Store

# Shards take their images in turn from all classes: so many give most classes a row.
MOST_READ = 5 * GRID_COLUMNS * GRID_ROWS
GAP, BACKGROUND = 2, 255
Tile = tuple[numpy.ndarray, int | None]
"""uint8 (H, W) or (H, W, 3), and the index of its class."""


@dataclass
class RealImages:
    """Pictures of real images; of each dataset the shards are read once, and only their beginning."""

    store: Store
    _read: dict[str, list[Tile]] = field(default_factory=dict)

    def sheet(self, shards: Manifest | None, classes: list[int] | None = None) -> Picture | None:
        """As many real images as a grid of samples has, in the order of their classes where it is: a row for
        each of `classes`. None where no shards are known.

        Raises `StoreError` where they cannot be read.
        """
        if shards is None or not shards.details.get("splits", {}).get("train", {}).get("shards"):
            return None
        if shards.version not in self._read:
            self._read[shards.version] = list(_read_beginning(self.store, shards))
        tiles = _in_rows(self._read[shards.version], classes or [])
        return encoded_picture(_sheet(tiles)) if tiles else None

    def thumbnail(self, shards: Manifest | None, count: int = 16) -> Picture | None:
        """The first images; None and `StoreError` as of `sheet`."""
        if self.sheet(shards) is None:
            return None
        return encoded_picture(_sheet(self._read[shards.version][:count], math.isqrt(count)))


def _read_beginning(store: Store, shards: Manifest) -> Iterator[Tile]:
    """The first images of the first train shard: only that part is read of a remote store, too."""
    name = shards.details["splits"]["train"]["shards"][0]
    count = 0
    try:
        with (
            store.fs.open(store.file_path(shards, name), "rb") as file,
            tarfile.open(fileobj=file, mode="r|") as tar,
        ):
            pixels = None
            for member in tar:
                content = tar.extractfile(member).read()
                if not member.name.endswith(".png"):  # the class follows its image
                    yield pixels, int(content)
                    pixels, count = None, count + 1
                    continue
                if pixels is not None:
                    yield pixels, None
                    count += 1
                if count >= MOST_READ:
                    return
                with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                    pixels = numpy.asarray(image)
            if pixels is not None:
                yield pixels, None
    except (OSError, ValueError, tarfile.TarError, UnidentifiedImageError) as error:
        again = how_to_make(shards.asset, shards.partition, force=True)
        raise StoreError(
            f"{store.file_path(shards, name)} cannot be read ({type(error).__name__}): {again}"
        ) from error


def _in_rows(tiles: list[Tile], classes: list[int]) -> list[Tile]:
    """A row of each class, or the first ones where there are no classes or too few images of one."""
    rows = [[tile for tile in tiles if tile[1] == number][:GRID_COLUMNS] for number in classes]
    if rows and all(len(row) == GRID_COLUMNS for row in rows):
        return [tile for row in rows for tile in row]
    return tiles[: GRID_COLUMNS * GRID_ROWS]


def _sheet(tiles: list[Tile], columns: int = GRID_COLUMNS) -> Image.Image:
    side = tiles[0][0].shape[0]
    rows, columns = math.ceil(len(tiles) / columns), min(columns, len(tiles))
    shape = (rows * (side + GAP) - GAP, columns * (side + GAP) - GAP, *tiles[0][0].shape[2:])
    sheet = numpy.full(shape, BACKGROUND, dtype=numpy.uint8)
    for number, (pixels, _) in enumerate(tiles):
        top, left = number // columns * (side + GAP), number % columns * (side + GAP)
        sheet[top : top + side, left : left + side] = pixels
    return Image.fromarray(sheet)
