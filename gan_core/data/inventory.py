"""The inventory of a dataset, one row per image, written and read in batches."""

import hashlib
import io
import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import pyarrow
import pyarrow.parquet

from gan_core.data.sources import Entry
from gan_core.store import Store

ROW_GROUP = 10_000  # rows that are read and written together
PARTS = "hashed-"  # begins the names of folders with notes of a hashing pass
Thing = TypeVar("Thing")


class InventoryRow(NamedTuple):
    """One image of the inventory; `bytes` is its size, `sha256` that of its bytes as 64 hex digits."""

    split: str
    key: str
    class_name: str | None
    bytes: int
    sha256: str


SCHEMA = pyarrow.schema(
    [(name, pyarrow.int64() if name == "bytes" else pyarrow.string()) for name in InventoryRow._fields]
)


def batches(items: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """`items` in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while some := list(itertools.islice(iterator, size)):
        yield some


class InventoryFile:
    """Rows on their way to `inventory.parquet`, in a file without a name, and what is counted of them.

    `content` is the sha256 over split, key, class and content of every image, in order; `counts` is the
    number of images by split and class name. The file is gone with its process, whatever ends that.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.counts: dict[str, Counter] = {}
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._waiting: list[InventoryRow] = []

    def __enter__(self) -> "InventoryFile":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self.folder)
        self._writer = pyarrow.parquet.ParquetWriter(self._file, SCHEMA)
        return self

    def __exit__(self, *error) -> None:
        self._writer.close()
        self._file.close()

    @property
    def content(self) -> str:
        return self._digest.hexdigest()

    def add(self, rows: list[InventoryRow]) -> None:
        for row in rows:
            self._digest.update(json.dumps([row.split, row.key, row.class_name, row.sha256]).encode())
            self.counts.setdefault(row.split, Counter())[row.class_name] += 1
            self.bytes += row.bytes
        self._waiting += rows
        while len(self._waiting) >= ROW_GROUP:  # of one size, so that the same rows give the same bytes
            self._write(self._waiting[:ROW_GROUP])
            del self._waiting[:ROW_GROUP]

    def finish(self) -> None:
        if self._waiting:
            self._write(self._waiting)
        self._writer.close()

    def rows(self) -> Iterator[InventoryRow]:
        self._file.seek(0)
        return read_rows(self._file)

    def copy_to(self, path: Path) -> None:
        self._file.seek(0)
        with open(path, "wb") as file:
            shutil.copyfileobj(self._file, file)

    def _write(self, rows: list[InventoryRow]) -> None:
        self._writer.write_table(_table(rows), row_group_size=ROW_GROUP)


class HashedParts:
    """What a hashing pass has done, in files of the store, for the next one should this one be killed.

    They lie in a folder of `home` and are bound to what the sources looked like, their `signature`. A pass
    that was told `force` trusts only parts of one that was told so too.
    """

    def __init__(self, store: Store, home: str, signature: str, force: bool):
        self.store, self.home = store, home
        self.folder = f"{home}/{PARTS}{signature[:16]}" + ("-forced" if force else "")

    @cached_property
    def known(self) -> set[str]:
        return set(self.store.list_names(self.folder))

    def read(self, split: str, number: int, entries: list[Entry]) -> list[InventoryRow] | None:
        """The rows of these entries; None where they have to be hashed."""
        name = self._name(split, number)
        content = self.store.read_bytes(f"{self.folder}/{name}") if name in self.known else None
        if content is None:
            return None
        try:
            rows = list(read_rows(io.BytesIO(content)))
        except pyarrow.ArrowException:
            return None
        return rows if [(row.key, row.class_name) for row in rows] == entries else None

    def write(self, split: str, number: int, rows: list[InventoryRow]) -> None:
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(_table(rows), buffer)
        self.store.write_atomically(f"{self.folder}/{self._name(split, number)}", buffer.getvalue())

    def remove(self) -> None:
        """Remove these parts, and those of other passes that never ended."""
        for name in self.store.list_names(self.home):
            if name.startswith(PARTS):
                self.store.remove(f"{self.home}/{name}")

    def _name(self, split: str, number: int) -> str:
        return f"{split}-{number:06d}.parquet"


def _table(rows: list[InventoryRow]) -> pyarrow.Table:
    columns = zip(InventoryRow._fields, map(list, zip(*rows, strict=True)), strict=True)
    return pyarrow.table(dict(columns), schema=SCHEMA)


def read_rows(file: Path | BinaryIO) -> Iterator[InventoryRow]:
    """The rows of a Parquet file, a row group in memory at a time."""
    with pyarrow.parquet.ParquetFile(file) as opened:
        for number in range(opened.num_row_groups):
            group = opened.read_row_group(number)
            yield from map(InventoryRow, *(group[name].to_pylist() for name in InventoryRow._fields))
