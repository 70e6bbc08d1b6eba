"""The step `raw_images`: which images a dataset consists of, by content."""

import hashlib
import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import joblib
import pyarrow
import pyarrow.parquet

from gan_core.config import Dataset
from gan_core.data.sources import Entry, Source, interleave, open_sources
from gan_core.errors import SourceError
from gan_core.progress import Progress
from gan_core.store import Build, Manifest, Store, fingerprint
from gan_core.versions import CODE_VERSIONS

logger = logging.getLogger("gan_core")
ASSET = "raw_images"
CODE_VERSION = CODE_VERSIONS[ASSET]
INVENTORY = "inventory.parquet"
REMOTE_READERS = 16  # threads that wait for a network
READ_TOGETHER = 64  # images a thread reads at a time
REMEMBERED = 20  # states of a source whose content digest is kept


class InventoryRow(NamedTuple):
    """One image of the inventory; `bytes` is its size, `sha256` that of its bytes as 64 hex digits."""

    split: str
    key: str
    class_name: str | None
    bytes: int
    sha256: str


def collect_raw_images(
    store: Store,
    dataset: Dataset,
    *,
    locations: dict[str, str] | None = None,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Find, read and hash every image of a dataset; write `inventory.parquet`.

    `locations` (of `train` and `test`) come before the environment's and the dataset's own. The fingerprint
    is made of the images' content, not of where they are. A source whose sizes and times have not changed is
    not read again, unless told `force`.

    Raises `SourceError`, before images are read, for a source that is missing, empty or wrongly laid out.
    """
    given = {split: _absolute(location) for split, location in dataset.locations(locations).items()}
    sources = open_sources(dataset, given, store.cache, emit)
    _check_several_classes(dataset, sources["train"])
    memory = _Memory(store, dataset, sources)
    inventory = None
    content = None if force else memory.recall()
    if content is None or not _is_made(store, dataset, content):
        inventory = _take_inventory(dataset, sources, emit)
        content = _digest(inventory)

    def build(work: Build) -> None:
        rows = inventory if inventory is not None else _take_inventory(dataset, sources, emit)
        if _digest(rows) != content:
            raise SourceError(
                f"{sources['train'].location} has changed without a change of size or time: "
                "materialise raw_images with force"
            )
        _describe(work, dataset, rows, sources, given)

    def produce(again: bool) -> Manifest:
        config = _config(dataset, content)
        return store.produce(
            ASSET, dataset.name, config=config, inputs={}, code_version=CODE_VERSION, build=build, force=again
        )

    manifest = produce(force)
    if manifest.details["locations"] != given:  # the same images, moved: later steps read them there
        manifest = produce(True)
    memory.remember(content)
    return manifest


def read_inventory(store: Store, raw: Manifest) -> list[InventoryRow]:
    """The rows of a `raw_images` artefact, split by split, in the order of the shards."""
    table = pyarrow.parquet.read_table(store.local(raw, INVENTORY))
    columns = (table.column(name).to_pylist() for name in InventoryRow._fields)
    return [InventoryRow(*values) for values in zip(*columns, strict=True)]


def reopen_sources(
    store: Store, dataset: Dataset, raw: Manifest, emit: Callable[[str], None] = logger.info
) -> dict[str, Source]:
    """The sources that a `raw_images` artefact was made from, wherever the environment points now."""
    return open_sources(dataset, raw.details["locations"], store.cache, emit)


def source_of(split: str, sources: dict[str, Source]) -> Source:
    """The source that holds a split's images: train's where the test split is held out of it."""
    return sources.get(split, sources["train"])


def _take_inventory(
    dataset: Dataset, sources: dict[str, Source], emit: Callable[[str], None]
) -> list[InventoryRow]:
    """Read and hash the images of all splits; raises `SourceError` for an empty split."""
    if "test" in dataset.splits and "test" not in sources:
        splits = _hold_out(dataset, sources["train"], emit)
    else:
        splits = {
            split: list(_hash_all(source, split, list(source.entries(dataset.limit)), emit))
            for split, source in sources.items()
        }
    for split, rows in splits.items():
        if not rows:
            raise SourceError(
                f"the {split} split of dataset `{dataset.name}` is empty "
                f"({source_of(split, sources).location}): check its source and `test_fraction`"
            )
    _check_classes(dataset, splits)
    return [row for rows in splits.values() for row in rows]


def _hold_out(dataset: Dataset, source: Source, emit: Callable[[str], None]) -> dict[str, list[InventoryRow]]:
    """Divide one source into two splits by each image's content, so that copies stay together."""
    splits: dict[str, list[InventoryRow]] = {"train": [], "test": []}
    for row in _hash_all(source, "train", list(source.entries()), emit):
        held_out = int(row.sha256[:16], 16) < dataset.test_fraction * 2**64
        split = "test" if held_out else "train"
        splits[split].append(row._replace(split=split))
        full = dataset.limit and min(map(len, splits.values())) >= dataset.limit
        if full and not dataset.labelled:  # a balanced choice needs all of them
            break
    if dataset.limit is None:
        return splits
    return {split: _balanced(rows)[: dataset.limit] for split, rows in splits.items()}


def _balanced(rows: list[InventoryRow]) -> list[InventoryRow]:
    groups: dict[str | None, list[InventoryRow]] = {}
    for row in rows:
        groups.setdefault(row.class_name, []).append(row)
    return interleave(groups.values())


def _hash_all(
    source: Source, split: str, entries: list[Entry], emit: Callable[[str], None]
) -> Iterator[InventoryRow]:
    """The rows of `entries` in order, read by several threads."""
    progress = Progress(f"reading the images of {source.location}", len(entries), emit=emit)

    def hash_some(some: list[Entry]) -> list[InventoryRow]:
        contents = ((entry, source.read(entry)) for entry in some)
        return [
            InventoryRow(split, *entry, len(content), hashlib.sha256(content).hexdigest())
            for entry, content in contents
        ]

    threads = REMOTE_READERS if source.remote else joblib.cpu_count()
    pool = ThreadPoolExecutor(threads)
    try:
        for rows in pool.map(hash_some, _batches(entries, READ_TOGETHER)):
            yield from rows
            progress.advance(len(rows))
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(entries: list[Entry], size: int) -> Iterator[list[Entry]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _check_several_classes(dataset: Dataset, train: Source) -> None:
    if dataset.classes != "folders":
        return
    found = {entry.class_name for entry in train.entries()}
    if len(found) == 1:
        raise SourceError(
            f"{train.location} has one class folder, `{found.pop()}`, and one class is no class: remove "
            f"`classes: folders` from dataset `{dataset.name}`, or add folders of other classes"
        )


def _check_classes(dataset: Dataset, splits: dict[str, list[InventoryRow]]) -> None:
    """Class folders are taken as found: those of the test split must be among those of train."""
    if dataset.classes != "folders" or "test" not in splits:
        return
    unknown = {row.class_name for row in splits["test"]} - {row.class_name for row in splits["train"]}
    if unknown:
        raise SourceError(
            f"the test split of dataset `{dataset.name}` has classes that its train split lacks: "
            f"{', '.join(sorted(unknown))}: add their images to train or remove them"
        )


def _classes(dataset: Dataset, rows: list[InventoryRow]) -> list[str]:
    if isinstance(dataset.classes, tuple):
        return list(dataset.classes)
    return sorted({row.class_name for row in rows}) if dataset.labelled else []


def _describe(
    work: Build,
    dataset: Dataset,
    rows: list[InventoryRow],
    sources: dict[str, Source],
    given: dict[str, str | None],
) -> None:
    """Write the inventory and fill in figures and details."""
    columns = dict(zip(InventoryRow._fields, map(list, zip(*rows, strict=True)), strict=True))
    schema = pyarrow.schema(
        [(name, pyarrow.int64() if name == "bytes" else pyarrow.string()) for name in InventoryRow._fields]
    )
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), work.folder / INVENTORY)
    splits = {}
    for split, group in itertools.groupby(rows, key=lambda row: row.split):
        members = list(group)
        counts = Counter(row.class_name for row in members) if dataset.labelled else {}
        splits[split] = {
            "images": len(members),
            "classes": dict(sorted(counts.items())),
            "location": source_of(split, sources).location,
        }
        work.figures[f"images_{split}"] = len(members)
    work.figures["bytes"] = sum(row.bytes for row in rows)
    work.details = {"splits": splits, "classes": _classes(dataset, rows), "locations": given}


def _digest(rows: list[InventoryRow]) -> str:
    """sha256 over split, key, class and content of every image, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.split, row.key, row.class_name, row.sha256]).encode())
    return digest.hexdigest()


def _config(dataset: Dataset, content: str) -> dict:
    """What the fingerprint is made of. Splits, limit and hold-out show in the content."""
    return {"content": content, "kind": dataset.source.kind, "classes": dataset.model_dump()["classes"]}


def _is_made(store: Store, dataset: Dataset, content: str) -> bool:
    key = fingerprint(_config(dataset, content), {}, CODE_VERSION)
    return store.read_manifest(ASSET, dataset.name, key) is not None


def _absolute(location: str | None) -> str | None:
    """A local path in full, so that it means the same wherever it is used; URLs as they are."""
    if location is None or "://" in location or "::" in location:
        return location
    return str(Path(os.path.abspath(os.path.expanduser(location))))


class _Memory:
    """Which content the sources had when they last looked like this (sizes, times, ETags)."""

    def __init__(self, store: Store, dataset: Dataset, sources: dict[str, Source]):
        self.store, self.path = store, f"{ASSET}/{dataset.name}/known_content.json"
        self.known = self._load()
        signatures = {split: [source.location, source.signature()] for split, source in sources.items()}
        matters = dataset.model_dump(
            mode="json", include={"source", "classes", "splits", "test_fraction", "limit"}
        )
        text = json.dumps([signatures, matters, CODE_VERSION], sort_keys=True)
        self.signature = hashlib.sha256(text.encode()).hexdigest()

    def recall(self) -> str | None:
        return self.known.get(self.signature)

    def remember(self, content: str) -> None:
        if self.recall() == content:
            return
        self.known.pop(self.signature, None)
        kept = dict(list(self.known.items())[-(REMEMBERED - 1) :])
        text = json.dumps({**kept, self.signature: content}, indent=1)
        self.store.write_atomically(self.path, text.encode())

    def _load(self) -> dict[str, str]:
        try:
            known = json.loads(self.store.fs.cat_file(f"{self.store.root}/{self.path}"))
        except (FileNotFoundError, ValueError):  # only a memo: where it is damaged, images are read again
            return {}
        return known if isinstance(known, dict) else {}
