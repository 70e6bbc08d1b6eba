"""Read shards again and say whether they are what their manifest promises."""

import array
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gan_core.data.decoding import ShardFormat
from gan_core.data.parallel import map_in_processes
from gan_core.data.shard_manifest import shard_format, split_of
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
    """What to check of one shard. `shards` is the manifest, without its other files."""

    store: Store
    shards: Manifest
    name: str
    images: int
    expected: ShardFormat


@dataclass
class CheckedShard:
    """One shard's images by label (-1: none), a 64-bit hash of each image's pixels, in order (0: it does not
    decode), and what is wrong. `path` is None where there is no such shard."""

    path: Path | None = None
    labels: Counter = field(default_factory=Counter)
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    problems: list[str] = field(default_factory=list)


def verify_image_shards(
    store: Store, shards: Manifest, *, emit: Callable[[str], None] = logger.info
) -> ShardReport:
    """Read every shard again: sha256, the tar, every image's key, size, channels and class, counts, copies
    across splits.

    Memory holds eight bytes per image, and 16 more per image of the test split. Two different images are
    taken for copies with a probability of about images² / 2⁶⁵.
    """
    problems: list[str] = []
    found: dict[str, list[CheckedShard]] = {}
    total = sum(split["images"] for split in shards.details["splits"].values())
    progress = Progress(f"checking the shards of {shards.partition}", total, emit=emit)
    for split in shards.details["splits"]:
        found[split] = []
        try:
            described = split_of(shards, split)
        except StoreError as error:
            problems.append(str(error))
            continue
        checks = _checks(store, shards, described)
        for shard in map_in_processes(check_shard, checks, None if total > 10_000 else 1):
            found[split].append(shard)
            problems += shard.problems
            progress.advance(len(shard.hashes))
        problems += _count_problems(split, described, found[split], shards.details["classes"] or [])
    classes = {split: _by_name(checked, shards.details["classes"] or []) for split, checked in found.items()}
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
    """Fetch a shard where the store is remote, hash it and decode all of its images."""
    try:
        path = check.store.local(check.shards, check.name, verify=False)
    except StoreError as error:
        return CheckedShard(problems=[str(error)])
    checked = CheckedShard(path)
    hashes = array.array("Q")
    try:
        digest, expected = sha256_of(path), check.shards.files[check.name].sha256
        if digest != expected:
            checked.problems.append(f"{path} has sha256 {digest}, its manifest says {expected}")
        for key, png, label in read_tar(path, report=checked.problems.append):
            checked.labels[-1 if label is None else label] += 1
            hashes.append(_check_image(check.expected, f"{path}: `{key}`", png, label, checked.problems))
    except OSError as error:
        checked.problems.append(f"{path} cannot be read: {error.strerror or error}")
    except (EOFError, ValueError) as error:
        checked.problems.append(f"{error}; what comes after is not checked")
    checked.hashes = np.array(hashes, dtype=np.uint64)
    if len(hashes) != check.images:
        checked.problems.append(f"{path} has {len(hashes):,} images, its manifest says {check.images:,}")
    if len(checked.problems) > NAMED_PROBLEMS:
        more = len(checked.problems) - NAMED_PROBLEMS
        checked.problems[NAMED_PROBLEMS:] = [f"{path}: {more:,} more problems"]
    return checked


def _check_image(
    expected: ShardFormat, where: str, png: bytes | None, label: int | None, problems: list[str]
) -> int:
    """Note what is wrong with a sample; return the first 64 bits of a hash of its pixels, or 0."""
    try:
        expected.check_label(label)
    except ValueError as error:
        problems.append(f"{where} {error}")
    if png is None:  # that, `read_tar` has reported
        return 0
    try:
        pixels = expected.decode(png)
    except ValueError as error:
        problems.append(f"{where} {error}")
        return 0
    return int.from_bytes(hashlib.blake2b(pixels.tobytes(), digest_size=8).digest(), "big")


def _checks(store: Store, shards: Manifest, described: dict) -> list[ShardCheck]:
    """The checks of the shards of a split; each is sent to another process."""
    expected = shard_format(shards)
    checks = []
    for name, images in zip(described["shards"], described["images_per_shard"], strict=True):
        files = {name: shards.files[name]} if name in shards.files else {}
        one = shards.model_copy(update={"files": files, "details": {}})
        checks.append(ShardCheck(store, one, name, images, expected))
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
    in_test = np.concatenate([np.empty(0, np.uint64), *(shard.hashes for shard in found["test"])])
    in_test.sort()
    in_test = in_test[np.searchsorted(in_test, 1) :]  # without those that do not decode
    count, keys = 0, []
    for shard in found["train"]:
        rows = np.flatnonzero(_are_in(in_test, shard.hashes))
        count += len(rows)
        for row in rows[: NAMED_DUPLICATES - len(keys)].tolist():
            keys.append((_key_at(shard, row), _first_key(found["test"], shard.hashes[row])))
    return count, keys


def _are_in(ascending: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Which of the hashes are among those: bool, as many as `hashes`."""
    if not len(ascending):
        return np.zeros(len(hashes), dtype=bool)
    places = np.searchsorted(ascending, hashes)
    return ascending[np.minimum(places, len(ascending) - 1)] == hashes


def _first_key(checked: list[CheckedShard], wanted: np.uint64) -> str:
    """The key of the first image that has this hash; there is one."""
    shard = next(shard for shard in checked if wanted in shard.hashes)
    return _key_at(shard, int(np.flatnonzero(shard.hashes == wanted)[0]))


def _key_at(shard: CheckedShard, row: int) -> str:
    samples = read_tar(shard.path, [row], report=lambda problem: None)
    return next(samples)[0]
