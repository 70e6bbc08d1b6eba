"""How much of a disk each asset and partition takes."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from gan_core.housekeeping.contents import Contents, Version, matches
from gan_core.store import Store


@dataclass
class Usage:
    """Bytes of one partition of an asset: of its current version, of the others, of what attempts left, and
    of what lies beside the versions (tables, pages, notes)."""

    asset: str
    partition: str
    versions: int = 0
    current: int = 0
    older: int = 0
    attempts: int = 0
    beside: int = 0

    @property
    def total(self) -> int:
        return self.current + self.older + self.attempts + self.beside

    def add(self, version: Version) -> None:
        """Count a version's folder in."""
        kind = "current" if version.is_current else "older"
        if not (version.manifest or version.unreadable):
            kind = "attempts"
        else:
            self.versions += 1
        setattr(self, kind, getattr(self, kind) + version.bytes)


def usages(contents: Contents, patterns: Iterable[str] = ()) -> list[Usage]:
    """By asset and partition, in alphabetical order. What lies beside the partitions of an asset has the
    partition ``""``. Raises `ConfigError` for a pattern that names nothing."""
    found: dict[tuple[str, str], Usage] = {}
    patterns = list(patterns)
    for version in contents.chosen(patterns):
        place = (version.asset, version.partition)
        found.setdefault(place, Usage(*place)).add(version)
    partitions = {(version.asset, version.partition) for version in contents.versions.values()}
    for path, entry in contents.loose.items():
        asset, partition = path.split("/")[0], path.split("/")[1]
        if (asset, partition) not in partitions:
            partition = ""
        wanted = not patterns or any(matches(Version(asset, partition, ""), one) for one in patterns)
        if wanted and entry.size:
            found.setdefault((asset, partition), Usage(asset, partition)).beside += entry.size
    return [found[place] for place in sorted(found)]


def summed(usages: Iterable[Usage]) -> Usage:
    """All of them as one."""
    total = Usage("", "")
    for usage in usages:
        for one in fields(Usage)[2:]:
            setattr(total, one.name, getattr(total, one.name) + getattr(usage, one.name))
    return total


def cache_bytes(store: Store) -> dict[str, int]:
    """Bytes in the local cache of a store, by folder: downloads, copies, decoded images."""
    found: dict[str, int] = {}
    if not store.cache.is_dir():
        return found
    for path in store.cache.iterdir():
        found[path.name] = _bytes_below(path)
    return dict(sorted(found.items()))


def _bytes_below(path: Path) -> int:
    total = 0
    for file in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # a download is over meanwhile
            total += 0 if file.is_dir() else file.stat().st_size
    return total
