"""Read shards again and say whether they are what their manifest promises."""

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gan_core.data.parallel import map_in_processes
from gan_core.data.pixels import decode_png
from gan_core.data.tars import read_tar
from gan_core.errors import StoreError
from gan_core.progress import Progress
from gan_core.store import Manifest, Store, sha256_of

logger = logging.getLogger("gan_core")
NAMED_DUPLICATES = 10
NAMED_PROBLEMS = 10  # a shard


@dataclass
class ShardReport:
    """What was found in the shards of a dataset.

    `problems`: what is wrong, in words; empty if the shards are sound. `images`: number by split. `classes`:
    number by split and class name. `smallest_share` and `largest_share` of a class in the train split, None
    without classes. `duplicates`: training images whose pixels also stand in test; `duplicate_keys`: the
    first of them as (train key, test key).
    """

    problems: list[str]
    images: dict[str, int]
    classes: dict[str, dict[str, int]]
    smallest_share: float | None
    largest_share: float | None
    duplicates: int
    duplicate_keys: list[tuple[str, str]]

    @property
    def sound(self) -> bool:
        return not self.problems


@dataclass
class ShardCheck:
    """What to check of one shard."""

    path: Path
    sha256: str
    shape: tuple[int, int, int]
    classes: int


@dataclass
class CheckedShard:
    """One shard's images by label (-1: none), a 64-bit hash of each image's pixels, and what is wrong."""

    path: Path
    labels: Counter = field(default_factory=Counter)
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    problems: list[str] = field(default_factory=list)


def verify_image_shards(
    store: Store, shards: Manifest, *, emit: Callable[[str], None] = logger.info
) -> ShardReport:
    """Read every shard again: sha256, every image's size and channels, counts, classes, copies across splits.

    Memory holds eight bytes an image. Two different images are taken for copies with a probability of about
    images² / 2⁶⁵.
    """
    problems: list[str] = []
    found: dict[str, list[CheckedShard]] = {}
    total = sum(split["images"] for split in shards.details["splits"].values())
    progress = Progress(f"checking the shards of {shards.partition}", total, emit=emit)
    for split, described in shards.details["splits"].items():
        checks = _checks(store, shards, described["shards"], problems)
        found[split] = []
        for shard in map_in_processes(check_shard, checks, None if total > 10_000 else 1):
            found[split].append(shard)
            problems += shard.problems
            progress.advance(len(shard.hashes))
        problems += _count_problems(split, described, found[split], shards.details["classes"])
    classes = {split: _by_name(checked, shards.details["classes"]) for split, checked in found.items()}
    shares = [count / max(sum(classes["train"].values()), 1) for count in classes["train"].values()]
    duplicates, keys = _duplicates(found)
    return ShardReport(
        problems=problems,
        images={split: sum(len(shard.hashes) for shard in checked) for split, checked in found.items()},
        classes=classes,
        smallest_share=min(shares, default=None),
        largest_share=max(shares, default=None),
        duplicates=duplicates,
        duplicate_keys=keys,
    )


def check_shard(check: ShardCheck) -> CheckedShard:
    """Hash a shard and decode all of its images."""
    checked = CheckedShard(check.path)
    digest = sha256_of(check.path)
    if digest != check.sha256:
        checked.problems.append(f"{check.path} has sha256 {digest}, its manifest says {check.sha256}")
    hashes: list[int] = []
    try:
        for key, png, label in read_tar(check.path):
            checked.labels[-1 if label is None else label] += 1
            hashes.append(_check_image(check, key, png, label, checked.problems))
    except (EOFError, ValueError) as error:
        checked.problems.append(str(error))
    checked.hashes = np.array(hashes, dtype=np.uint64)
    if len(checked.problems) > NAMED_PROBLEMS:
        more = len(checked.problems) - NAMED_PROBLEMS
        checked.problems[NAMED_PROBLEMS:] = [f"{check.path}: {more:,} more problems"]
    return checked


def _check_image(
    check: ShardCheck, key: str, png: bytes | None, label: int | None, problems: list[str]
) -> int:
    """Note what is wrong with a sample; return the first 64 bits of a hash of its pixels."""
    where = f"{check.path}: `{key}`"
    if (label is not None) != (check.classes > 0) or not 0 <= (label or 0) < max(check.classes, 1):
        problems.append(f"{where} has class {label}, but there are {check.classes} classes")
    try:
        pixels = decode_png(png or b"")
    except (OSError, ValueError, SyntaxError) as error:
        problems.append(f"{where} does not decode: {error}")
        pixels = np.empty((0, 0, 0), np.uint8)
    else:
        if pixels.shape != check.shape:
            problems.append(f"{where} has the shape {pixels.shape} instead of {check.shape}")
    return int.from_bytes(hashlib.blake2b(pixels.tobytes(), digest_size=8).digest(), "big")


def _checks(store: Store, shards: Manifest, names: list[str], problems: list[str]) -> list[ShardCheck]:
    """The checks of the shards that are there; what is missing is added to `problems`."""
    size, channels = shards.details["image_size"], shards.details["channels"]
    checks = []
    for name in names:
        try:
            path = store.local(shards, name, verify=False)
        except StoreError as error:
            problems.append(str(error))
            continue
        shape = (channels, size, size)
        checks.append(ShardCheck(path, shards.files[name].sha256, shape, len(shards.details["classes"])))
    return checks


def _count_problems(
    split: str, described: dict, checked: list[CheckedShard], classes: list[str]
) -> list[str]:
    """Where the numbers of images differ from the manifest's."""
    problems = []
    count = sum(len(shard.hashes) for shard in checked)
    if count != described["images"]:
        problems.append(f"{split} has {count:,} images, its manifest says {described['images']:,}")
    by_name = _by_name(checked, classes)
    for name, expected in described["classes"].items():
        if by_name[name] != expected:
            problems.append(f"{split} has {by_name[name]:,} images of `{name}` instead of {expected:,}")
    return problems


def _by_name(checked: list[CheckedShard], classes: list[str]) -> dict[str, int]:
    counts = sum((shard.labels for shard in checked), Counter())
    return {name: counts[index] for index, name in enumerate(classes)}


def _duplicates(found: dict[str, list[CheckedShard]]) -> tuple[int, list[tuple[str, str]]]:
    """How many training images stand in test too, and the keys of the first of them."""
    if "test" not in found:
        return 0, []
    in_test = _all_hashes(found["test"])
    in_train = _all_hashes(found["train"])
    positions = np.flatnonzero(np.isin(in_train, in_test))
    keys = []
    for position in positions[:NAMED_DUPLICATES]:
        twin = int(np.flatnonzero(in_test == in_train[position])[0])
        keys.append((_key_at(found["train"], int(position)), _key_at(found["test"], twin)))
    return len(positions), keys


def _all_hashes(checked: list[CheckedShard]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.uint64), *(shard.hashes for shard in checked)])


def _key_at(checked: list[CheckedShard], position: int) -> str:
    for shard in checked:
        if position < len(shard.hashes):
            return next(itertools.islice(read_tar(shard.path), position, None))[0]
        position -= len(shard.hashes)
    raise IndexError(position)
