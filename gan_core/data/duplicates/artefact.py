"""The step `duplicates`: which images of a dataset are nearly the same, and which of them a training can do
without."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.duplicates.found import Found, near_duplicates
from gan_core.data.duplicates.hashing import Square, hash_all
from gan_core.data.duplicates.picture import GROUPS, MEMBERS, groups_picture, pairs_picture
from gan_core.data.inventory import InventoryRow
from gan_core.data.pixels import to_square
from gan_core.data.raw import read_inventory, read_unchanged, reopen_sources, source_of
from gan_core.store import Build, Manifest, Store

logger = logging.getLogger("gan_core")
GROUPS_FILE, LEAKS_FILE = "duplicates.parquet", "leaks.parquet"
PAIRS_PICTURE, GROUPS_PICTURE = "pairs.png", "groups.png"
NOTES = "hashes"  # begins the name of the folder of what a run that was killed has hashed
NAMED_LEAKS = 100


class Duplicate(NamedTuple):
    """One train image of a group. `distance`, in bits, is to the image that is kept."""

    group: int
    key: str
    class_name: str | None
    distance: int
    kept: bool


def find_duplicates(
    store: Store,
    dataset: Dataset,
    raw: Manifest,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """The near-duplicates of a dataset by `Dataset.deduplicate`: the asset `duplicates`. Where that is not
    given, an artefact without files that says so.

    Train images whose hashes differ in at most `threshold` bits are in one group, also by others in between;
    the first by its key stays. Files: `duplicates.parquet` (`Duplicate` a row), `leaks.parquet` (test images
    that have a near-duplicate in train: key, class_name, train_key, distance), `pairs.png`, `groups.png`.
    Figures: images_train, groups, duplicates (images that can go), duplicate_share, largest_group,
    groups_of_several_classes, leaks, leak_share, undecodable. Details: asked, kept_images (by split),
    pairs_by_distance, classes_of_duplicates, first_leaks.

    Memory holds 9 bytes per image, and some 100 while they are compared. What was hashed is noted in the
    store, so that a run that was killed is gone on with. Raises `SourceError` if the source is not what `raw`
    found.
    """
    step = steps.duplicates(dataset, raw)
    home = "/".join((step.asset, step.partition, step.fingerprint))

    def build(work: Build) -> None:
        splits = {split: found["images"] for split, found in raw.details["splits"].items()}
        if dataset.deduplicate is None:
            work.details = {"asked": False, "kept_images": splits}
            return
        notes = f"{home}/{NOTES}{'-forced' if force else ''}"
        hashed = hash_all(store, dataset, raw, notes, emit)
        found = near_duplicates(hashed, splits["train"], dataset.deduplicate.threshold, emit)
        _Description(store, dataset, raw, hashed, found).fill_in(work, splits, emit)

    manifest = step.produce(store, build, force=force, emit=emit)
    for name in store.list_names(home):
        if name.startswith(NOTES):
            store.remove(f"{home}/{name}")
    if dataset.deduplicate is not None:
        emit(f"{_in_words(manifest.figures)}: {store.address(store.folder(*home.split('/')))}")
    return manifest


def kept_rows(store: Store, raw: Manifest, duplicates: Manifest | None) -> Iterator[InventoryRow]:
    """The rows of the inventory, without the train images that `duplicates` says can go."""
    removed: set[str] = set()
    if duplicates is not None and GROUPS_FILE in duplicates.files:
        table = pyarrow.parquet.read_table(store.local(duplicates, GROUPS_FILE), columns=["key", "kept"])
        keys, kept = table["key"].to_pylist(), table["kept"].to_pylist()
        removed = {key for key, stays in zip(keys, kept, strict=True) if not stays}
    for row in read_inventory(store, raw):
        if row.split != "train" or row.key not in removed:
            yield row


class _Description:
    """Files, figures and details of what was found."""

    def __init__(self, store: Store, dataset: Dataset, raw: Manifest, hashed: np.ndarray, found: Found):
        self.store, self.dataset, self.raw = store, dataset, raw
        self.hashed, self.found = hashed, found
        self.rows = self._rows_needed()
        self.groups = self._groups()

    def fill_in(self, work: Build, splits: dict[str, int], emit: Callable[[str], None]) -> None:
        members = [member for group in self.groups for member in group]
        removed = [member for member in members if not member.kept]
        several = sum(len({member.class_name for member in group}) > 1 for group in self.groups)
        _write(work.folder / GROUPS_FILE, Duplicate._fields, members)
        leaks = self._leaks()
        _write(work.folder / LEAKS_FILE, ("key", "class_name", "train_key", "distance"), leaks)
        self._draw(work.folder, emit)
        tests = splits.get("test", 0)
        work.figures = {
            "images_train": splits["train"],
            "groups": len(self.groups),
            "duplicates": len(removed),
            "duplicate_share": len(removed) / splits["train"],
            "largest_group": max(map(len, self.groups), default=0),
            "groups_of_several_classes": several,
            "leaks": len(leaks) if tests else None,
            "leak_share": len(leaks) / tests if tests else None,
            "undecodable": int((~self.hashed["decodes"]).sum()),
        }
        work.details = {
            "asked": True,
            "kept_images": {**splits, "train": splits["train"] - len(removed)},
            "pairs_by_distance": {str(bits): count for bits, count in sorted(self.found.pairs.items())},
            "classes_of_duplicates": _few(Counter(str(member.class_name) for member in removed)),
            "first_leaks": [list(leak) for leak in leaks[:NAMED_LEAKS]],
        }

    def _rows_needed(self) -> dict[int, InventoryRow]:
        """The rows of the images that are in groups, leaks or examples, by their numbers."""
        numbers = set(np.flatnonzero(self.found.group >= 0).tolist())
        numbers |= {number for test, train, _ in self.found.leaks for number in (test, train)}
        numbers |= {number for pairs in self.found.examples.values() for pair in pairs for number in pair}
        rows = enumerate(read_inventory(self.store, self.raw))
        return {number: row for number, row in rows if number in numbers}

    def _groups(self) -> list[list[Duplicate]]:
        """The members of each group, by key: the first is kept."""
        numbers: dict[int, list[int]] = defaultdict(list)
        for number in np.flatnonzero(self.found.group >= 0).tolist():
            numbers[int(self.found.group[number])].append(number)
        return [self._group(group, members) for group, members in sorted(numbers.items())]

    def _group(self, group: int, numbers: list[int]) -> list[Duplicate]:
        numbers = sorted(numbers, key=lambda number: self.rows[number].key)
        hashes = self.hashed["hash"][numbers]
        distances = np.bitwise_count(hashes ^ hashes[0]).tolist()
        rows = (self.rows[number] for number in numbers)
        return [
            Duplicate(group, row.key, row.class_name, distance, place == 0)
            for place, (row, distance) in enumerate(zip(rows, distances, strict=True))
        ]

    def _leaks(self) -> list[tuple[str, str | None, str, int]]:
        return [
            (self.rows[test].key, self.rows[test].class_name, self.rows[train].key, distance)
            for test, train, distance in self.found.leaks
        ]

    def _draw(self, folder: Path, emit: Callable[[str], None]) -> None:
        """Pairs at each distance, and the largest groups."""
        if not self.groups:
            return
        sources = reopen_sources(self.store, self.dataset, self.raw, emit)
        train = {row.key: row for row in self.rows.values() if row.split == "train"}

        def pixels(row: InventoryRow) -> np.ndarray:
            source = source_of(row.split, sources)
            content = read_unchanged(source, row, self.dataset.name)
            return to_square(source.decode(content), *Square.of(self.dataset))

        pairs = [
            (
                f"{bits} bits apart: {self.found.pairs[bits]:,} pairs",
                [(pixels(self.rows[one]), pixels(self.rows[other])) for one, other in examples],
            )
            for bits, examples in sorted(self.found.examples.items())
            if examples
        ]
        largest = sorted(self.groups, key=len, reverse=True)[:GROUPS]
        groups = [
            (
                f"group {group[0].group}: {len(group):,} images, the first stays",
                [pixels(train[member.key]) for member in group[:MEMBERS]],
            )
            for group in largest
        ]
        (folder / PAIRS_PICTURE).write_bytes(pairs_picture(pairs))
        (folder / GROUPS_PICTURE).write_bytes(groups_picture(groups))


def _in_words(figures: dict[str, Any]) -> str:
    text = (
        f"{figures['duplicates']:,} of {figures['images_train']:,} train images "
        f"({figures['duplicate_share']:.2%}) are near-duplicates of one that stays, in "
        f"{figures['groups']:,} groups"
    )
    return text if figures["leaks"] is None else f"{text}; {figures['leaks']:,} test images have one in train"


def _write(path: Path, names: tuple[str, ...], rows: list[tuple]) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    types = {"group": pyarrow.int64(), "distance": pyarrow.int64(), "kept": pyarrow.bool_()}
    arrays = [
        pyarrow.array(column, types.get(name, pyarrow.string()))
        for name, column in zip(names, columns, strict=True)
    ]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(names)), path)


def _few(counts: Counter) -> dict[str, Any]:
    """The classes that have most, by name."""
    return dict(counts.most_common(20))
