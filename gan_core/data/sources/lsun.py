"""LSUN as it is published: an LMDB in a zip, a key a photograph, the value its bytes (Yu et al. 2015)."""

import contextlib
import hashlib
import itertools
import json
import logging
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from gan_core.config import Dataset
from gan_core.data.local_files import copy_with_progress, make_once
from gan_core.data.sources.base import Entry, Source
from gan_core.data.sources.file_collections import FETCHED, fetch, file_signature, resolve
from gan_core.data.sources.files import DamagedError
from gan_core.data.sources.kinds import DOWNLOADS
from gan_core.data.sources.lmdb_file import LmdbFile
from gan_core.errors import SourceError
from gan_core.secrets import masked

logger = logging.getLogger("gan_core")
DATABASE = "data.mdb"
PUBLISHED_SPLITS = {"train": "train", "test": "val"}


class LmdbSource(Source):
    """The values of an LMDB, in the order of its keys. Keys are bytes, shown as Latin-1, which loses none."""

    def __init__(self, database: Path, location: str):
        self.database, self.location = database, location

    def entries(self, limit: int | None = None) -> Iterator[Entry]:
        keys = itertools.islice(self._open().iterate_keys(), limit)
        return (Entry(key.decode("latin-1"), None) for key in keys)

    def count(self, limit: int | None = None) -> int:
        number = len(self._open())
        return number if limit is None else min(number, limit)

    def read(self, entry: Entry) -> bytes:
        content = self._open().get(entry.key.encode("latin-1"))
        if content is None:
            raise SourceError(
                f"{self.location} has no image `{entry.key}` any more: mend or replace it, then make the "
                "dataset's raw_images again"
            )
        return content

    def signature(self) -> Any:
        return file_signature(self.database)

    def _open(self) -> LmdbFile:
        return _open_database(str(self.database), *file_signature(self.database))


def open_lsun(
    location: str,
    split: str,
    cache: Path,
    dataset: Dataset,
    *,
    whole: bool,
    emit: Callable[[str], None] = logger.info,
) -> LmdbSource | None:
    """A split from LSUN's zip, an unpacked LMDB, or a folder that holds these of several splits.

    With `whole`, a zip or LMDB is this split; else (and where a folder holds none of it) None is returned.
    """
    found = _find(location, split, dataset, whole)
    if found is None:
        return None
    database = archive = fetch(found, cache, emit)
    with damaged_copies_deleted(cache, archive):
        if archive.suffix.lower() == ".zip":
            digest = hashlib.sha256(json.dumps([str(archive), *file_signature(archive)]).encode()).hexdigest()
            database = extract_database(archive, cache / "lmdb" / digest[:16] / DATABASE, emit)
        with damaged_copies_deleted(cache, database):
            return _checked(LmdbSource(database, masked(location)))


@contextlib.contextmanager
def damaged_copies_deleted(cache: Path, copy: Path) -> Iterator[None]:
    """A file in the cache that turns out to be damaged is deleted: the next run would only take it again."""
    try:
        yield
    except DamagedError as error:
        made_here = any(copy.is_relative_to(cache / folder) for folder in (FETCHED, DOWNLOADS, "lmdb"))
        if not (made_here and copy.exists()):
            raise
        copy.unlink()
        raise DamagedError(f"{error} ({copy} was deleted: run again to make it anew)") from error


def _checked(source: LmdbSource) -> LmdbSource:
    """Raises `DamagedError` unless the file begins like an LMDB and has its length."""
    try:
        source.count()
    except SourceError as error:
        raise DamagedError(str(error)) from error
    return source


def published_name(category: str, split: str) -> str:
    """LSUN's name of a split's database, as in `bedroom_train_lmdb`."""
    return f"{category}_{PUBLISHED_SPLITS[split]}_lmdb"


def extract_database(archive: Path, target: Path, emit: Callable[[str], None]) -> Path:
    """Stream data.mdb out of LSUN's zip into `target`, once; no path in the archive is followed."""

    def extract(temporary: Path) -> None:
        try:
            with zipfile.ZipFile(archive) as opened:
                members = [m for m in opened.infolist() if m.filename.rpartition("/")[2] == DATABASE]
                if len(members) != 1:
                    raise DamagedError(
                        f"{archive} contains {len(members)} files named {DATABASE} instead of one: it is not "
                        "a zip of LSUN; name the right one as the dataset's source"
                    )
                with opened.open(members[0]) as file:  # reading to the end checks its CRC
                    task = f"reading {DATABASE} out of {archive.name}"
                    copy_with_progress(file, temporary, members[0].file_size, task, emit)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error) as error:
            raise DamagedError(f"{archive} is damaged or not complete: {error}; replace it") from error

    return make_once(target, extract, emit)


def _find(location: str, split: str, dataset: Dataset, whole: bool) -> str | None:
    """The zip or the data.mdb of the split at a location; None if the location holds no such split."""
    fs, path = resolve(location)
    if path.lower().endswith((".zip", ".mdb")):
        return location if whole else None
    base = location.rstrip("/")
    if whole and fs.exists(f"{path}/{DATABASE}"):
        return f"{base}/{DATABASE}"
    name = published_name(dataset.source.category, split)
    for candidate in (f"{name}/{DATABASE}", f"{name}.zip"):
        if fs.exists(f"{path}/{candidate}"):
            return f"{base}/{candidate}"
    if not whole:
        return None
    raise SourceError(
        f"{location} holds neither {DATABASE} nor {name}.zip: name LSUN's zip, or the folder of its "
        f"{DATABASE}, as the source of dataset `{dataset.name}`"
    )


@lru_cache(maxsize=8)
def _open_database(path: str, size: int, mtime: int) -> LmdbFile:
    return LmdbFile(path)
