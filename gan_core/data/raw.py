"""The step `raw_images`: which images a dataset consists of, by content."""

import contextlib
import functools
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.inventory import ROW_GROUP, HashedParts, InventoryFile, InventoryRow, batches, read_rows
from gan_core.data.sources import Entry, Source, interleave, is_held_out, open_sources
from gan_core.errors import DamagedError, SourceError
from gan_core.progress import Progress
from gan_core.remedies import how_to_make
from gan_core.secrets import masked, revealed
from gan_core.store import Build, Manifest, Store, fingerprint
from gan_core.store.lease import Lease
from gan_core.versions import CODE_VERSIONS

logger = logging.getLogger("gan_core")
ASSET = "raw_images"
CODE_VERSION = CODE_VERSIONS[ASSET]
INVENTORY = "inventory.parquet"
NAMED_LEFT_OUT = 100  # files that are no images of ours, by name
REMOTE_READERS = 16  # threads that wait for a network
READ_TOGETHER = 64  # images a thread reads at a time
PART = 10_000  # images after which the hashing pass notes what it has done
REMEMBERED = 20  # states of a source whose content digest is kept


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
    not read again, unless told `force`. A pass that was killed is gone on with where it stopped.

    Memory does not grow with the number of images, except for a `limit` of a labelled dataset whose test
    split is held out: there it holds what the limit may need.

    Of several processes that would read the images of a dataset one does; the others wait and take what it
    found, also with `force`.

    Raises `SourceError`, before images are read, for a source that is missing, empty or wrongly laid out.
    """
    given = {split: _absolute(location) for split, location in dataset.locations(locations).items()}
    sources = open_sources(dataset, given, store.cache, emit)
    _check_several_classes(dataset, sources["train"])
    collect = functools.partial(_collect, store, dataset, _masked(given), sources, emit=emit)
    if not force and _known_content(store, dataset, _Memory(store, dataset, sources)):
        return collect(force=False)
    before = _current(store, dataset)
    with Lease(store, ASSET, dataset.name, "", emit) as lease:
        return collect(force=force and _current(store, dataset) == before, still_ours=lease.check)


def _collect(
    store: Store,
    dataset: Dataset,
    locations: dict[str, str | None],
    sources: dict[str, Source],
    *,
    force: bool,
    emit: Callable[[str], None],
    still_ours: Callable[[], None] = lambda: None,
) -> Manifest:
    memory = _Memory(store, dataset, sources)
    parts = HashedParts(store, f"{ASSET}/{dataset.name}", memory.signature, force)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def inventory() -> InventoryFile:
            file = stack.enter_context(InventoryFile(store.cache))
            _take_inventory(file, dataset, sources, parts, emit)
            return file

        def build(work: Build) -> None:
            if inventory().content != content:
                raise SourceError(
                    f"{sources['train'].location} has changed without a change of size or time: "
                    + how_to_make(ASSET, dataset.name, force=True)
                )
            _describe(work, dataset, inventory(), sources, locations)
            still_ours()

        chosen = steps.chosen_images(dataset)
        content = (None if force else _known_content(store, dataset, memory)) or inventory().content
        produce = functools.partial(
            store.produce,
            *(ASSET, dataset.name),
            config=_config(dataset, content),
            inputs={},
            code_version=CODE_VERSION,
            build=build,
        )
        manifest = produce(force=force)
        # The same images, moved or chosen otherwise: later steps read them there, and `status` goes by it.
        details = manifest.details
        if details["locations"] != locations or details.get(steps.CHOSEN, chosen) != chosen:
            manifest = produce(force=True)
        if inventory.cache_info().currsize:
            parts.remove()
    memory.remember(content)
    return manifest


def read_inventory(store: Store, raw: Manifest) -> Iterator[InventoryRow]:
    """The rows of a `raw_images` artefact one by one, split by split, in the order of the shards."""
    return read_rows(store.local(raw, INVENTORY))


def reopen_sources(
    store: Store, dataset: Dataset, raw: Manifest, emit: Callable[[str], None] = logger.info
) -> dict[str, Source]:
    """The sources that a `raw_images` artefact was made from, wherever the environment points now.

    Passwords and signatures of URLs are not in the artefact: they are those of the dataset's source as it is
    named now. Raises `SourceError` where that is another one.
    """
    known = dataset.locations().values()
    locations = {}
    for split, recorded in raw.details["locations"].items():
        locations[split] = recorded and revealed(recorded, known)
        if recorded and locations[split] is None:
            raise SourceError(
                f"{recorded}: the password or signature of this URL is not kept in the store: set "
                f"{dataset.source_variable}_{split.upper()} to the whole URL, as when raw_images was made"
            )
    return open_sources(dataset, locations, store.cache, emit)


def source_of(split: str, sources: dict[str, Source]) -> Source:
    """The source that holds a split's images: train's where the test split is held out of it."""
    return sources.get(split, sources["train"])


def read_unchanged(source: Source, row: InventoryRow, dataset: str) -> bytes:
    """An image's bytes; raises `SourceError` unless they are those of the inventory."""
    content = source.read(Entry(row.key, row.class_name))
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise SourceError(
            f"{source.location}: `{row.key}` has changed since raw_images was made: "
            + how_to_make(ASSET, dataset, force=True)
        )
    return content


def _take_inventory(
    inventory: InventoryFile,
    dataset: Dataset,
    sources: dict[str, Source],
    parts: HashedParts,
    emit: Callable[[str], None],
) -> None:
    """Read and hash the images of all splits; raises `SourceError` for an empty split."""
    if "test" in dataset.splits and "test" not in sources:
        _hold_out(inventory, dataset, sources["train"], parts, emit)
    else:
        for split, source in sources.items():
            for rows in _hash_all(source, split, dataset.limit, parts, emit):
                inventory.add(rows)
    inventory.finish()
    for split in dataset.splits:
        if split not in inventory.counts:
            raise SourceError(
                f"the {split} split of dataset `{dataset.name}` is empty "
                f"({source_of(split, sources).location}): check its source and `test_fraction`"
            )
    _check_classes(dataset, inventory)


def _hold_out(
    inventory: InventoryFile,
    dataset: Dataset,
    source: Source,
    parts: HashedParts,
    emit: Callable[[str], None],
) -> None:
    """Divide one source into two splits by each image's content, so that copies stay together."""
    choose = _Balanced if dataset.limit and dataset.labelled else _First
    train, test = choose(inventory.add, dataset.limit), None
    with InventoryFile(inventory.folder) as held_out:  # its rows come behind those of train
        test = choose(held_out.add, dataset.limit)
        for rows in _hash_all(source, "train", None, parts, emit):
            of_test = [is_held_out(row.sha256, dataset.test_fraction) for row in rows]
            train.offer([row for row, held in zip(rows, of_test, strict=True) if not held])
            test.offer([row._replace(split="test") for row, held in zip(rows, of_test, strict=True) if held])
            if train.full and test.full:
                break
        train.finish()
        test.finish()
        held_out.finish()
        for rows in batches(held_out.rows(), ROW_GROUP):
            inventory.add(rows)


class _First:
    """Passes on the first `limit` rows (None: all)."""

    def __init__(self, add: Callable[[list[InventoryRow]], None], limit: int | None):
        self.add, self.left = add, math.inf if limit is None else limit

    @property
    def full(self) -> bool:
        return self.left == 0

    def offer(self, rows: list[InventoryRow]) -> None:
        rows = rows[: min(len(rows), self.left)]
        self.left -= len(rows)
        self.add(rows)

    def finish(self) -> None:
        pass


class _Balanced:
    """Passes on `limit` rows, taken in turn from every class, once all are known."""

    full = False

    def __init__(self, add: Callable[[list[InventoryRow]], None], limit: int):
        self.add, self.limit = add, limit
        self.groups: dict[str | None, list[InventoryRow]] = {}

    def offer(self, rows: list[InventoryRow]) -> None:
        for row in rows:
            group = self.groups.setdefault(row.class_name, [])
            if len(group) < self.limit:
                group.append(row)

    def finish(self) -> None:
        self.add(interleave(self.groups.values())[: self.limit])


def _hash_all(
    source: Source, split: str, limit: int | None, parts: HashedParts, emit: Callable[[str], None]
) -> Iterator[list[InventoryRow]]:
    """The rows of a source's images in order, in lists, read by several threads."""

    def hash_some(some: list[Entry]) -> list[InventoryRow]:
        contents = ((entry, source.read(entry)) for entry in some)
        return [
            InventoryRow(split, *entry, len(content), hashlib.sha256(content).hexdigest())
            for entry, content in contents
        ]

    progress = Progress(f"reading the images of {source.location}", source.count(limit), emit=emit)
    threads = REMOTE_READERS if source.remote else joblib.cpu_count()
    pool = ThreadPoolExecutor(threads)
    try:
        for number, entries in enumerate(batches(source.entries(limit), PART)):
            if (known := parts.read(split, number, entries)) is not None:
                progress.skip(len(known))
                yield known
                continue
            done: list[InventoryRow] = []
            for rows in pool.map(hash_some, batches(entries, READ_TOGETHER)):
                done += rows
                yield rows
                progress.advance(len(rows))
            if len(done) == PART:
                parts.write(split, number, done)
    finally:
        pool.shutdown(cancel_futures=True)


def _check_several_classes(dataset: Dataset, train: Source) -> None:
    if dataset.classes != "folders":
        return
    names = (entry.class_name for entry in train.entries())
    first = next(names, None)
    if first is not None and all(name == first for name in names):
        raise SourceError(
            f"{train.location} has one class folder, `{first}`, and one class is no class: remove "
            f"`classes: folders` from dataset `{dataset.name}`, or add folders of other classes"
        )


def _check_classes(dataset: Dataset, inventory: InventoryFile) -> None:
    """Class folders are taken as found: those of the test split must be among those of train."""
    if dataset.classes != "folders":
        return
    unknown = set(inventory.counts.get("test", ())) - set(inventory.counts["train"])
    if unknown:
        raise SourceError(
            f"the test split of dataset `{dataset.name}` has classes that its train split lacks: "
            f"{', '.join(sorted(unknown))}: add their images to train or remove them"
        )


def _describe(
    work: Build,
    dataset: Dataset,
    inventory: InventoryFile,
    sources: dict[str, Source],
    locations: dict[str, str | None],
) -> None:
    """Write the inventory and fill in figures and details."""
    inventory.copy_to(work.folder / INVENTORY)
    splits = {}
    for split, counts in inventory.counts.items():
        splits[split] = {
            "images": counts.total(),
            "classes": dict(sorted(counts.items())) if dataset.labelled else {},
            "location": source_of(split, sources).location,
        }
        work.figures[f"images_{split}"] = counts.total()
    left_out = [item for source in sources.values() for item in source.left_out]
    work.figures |= {"bytes": inventory.bytes, "left_out": len(left_out)}
    work.details = {
        "splits": splits,
        "classes": _classes(dataset, inventory),
        "locations": locations,
        steps.CHOSEN: steps.chosen_images(dataset),
        "left_out": left_out[:NAMED_LEFT_OUT],
    }


def _classes(dataset: Dataset, inventory: InventoryFile) -> list[str]:
    if isinstance(dataset.classes, tuple):
        return list(dataset.classes)
    return sorted(set().union(*inventory.counts.values())) if dataset.labelled else []


def _config(dataset: Dataset, content: str) -> dict:
    """What the fingerprint is made of. Splits, limit and hold-out show in the content."""
    return {"content": content, "kind": dataset.source.kind, "classes": dataset.model_dump()["classes"]}


def _known_content(store: Store, dataset: Dataset, memory: "_Memory") -> str | None:
    """The content that the sources had when they last looked like this, where its artefact is there."""
    content = memory.recall()
    if content is None:
        return None
    key = fingerprint(_config(dataset, content), {}, CODE_VERSION)
    return content if store.read_manifest(ASSET, dataset.name, key) else None


def _current(store: Store, dataset: Dataset) -> bytes | None:
    """The current manifest; None also for a damaged one, which `force` replaces."""
    with contextlib.suppress(DamagedError):
        current = store.current(ASSET, dataset.name)
        return current and current.to_json()
    return None


def _absolute(location: str | None) -> str | None:
    """A local path in full, so that it means the same wherever it is used; URLs as they are."""
    if location is None or "://" in location or "::" in location:
        return location
    return str(Path(os.path.abspath(os.path.expanduser(location))))


def _masked(locations: dict[str, str | None]) -> dict[str, str | None]:
    return {name: location and masked(location) for name, location in locations.items()}


class _Memory:
    """Which content the sources had when they last looked like this (sizes, times, ETags)."""

    def __init__(self, store: Store, dataset: Dataset, sources: dict[str, Source]):
        self.store, self.path = store, f"{ASSET}/{dataset.name}/known_content.json"
        self.known = self._load()
        signatures = {split: [source.location, source.signature()] for split, source in sources.items()}
        matters = dataset.model_dump(
            mode="json", include={"source", "classes", "splits", "test_fraction", "limit"}
        )
        stack = matters["source"].pop("stack")
        matters["source"] = _masked(matters["source"]) | ({"stack": stack} if stack else {})
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
            known = json.loads(self.store.read_bytes(self.path) or b"{}")
        except ValueError:  # only a memo: where it is damaged, images are read again
            return {}
        return known if isinstance(known, dict) else {}
