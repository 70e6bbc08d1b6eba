"""What is in a store: every version of every artefact, what attempts left, and who is at work."""

import contextlib
import datetime
import fnmatch
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from gan_core.config import unknown
from gan_core.errors import ConfigError, DamagedError
from gan_core.store import MANIFEST, Manifest, Store
from gan_core.store.attempts import LEASE, Holder, is_abandoned
from gan_core.store.store import CURRENT, MANIFEST_COPY, OF_AN_ATTEMPT, pointed_to

FINGERPRINT = re.compile("[0-9a-f]{64}")
TENSORBOARD = "tensorboard"
# For the leases of copies, a folder each: they name what is being brought and is not needed yet.
COPYING = ".copying"
# A lease of another host whose heartbeat, every ten seconds, stood still for so long protects nothing: long
# enough for clocks that do not agree.
SILENT_SECONDS = 3600.0
Key = tuple[str, str, str]
"""Asset, partition, fingerprint."""


class State(StrEnum):
    WHOLE = "whole"
    DAMAGED = "damaged"
    IN_PROGRESS = "attempt in progress"
    KILLED = "killed attempt"


@dataclass(frozen=True)
class Entry:
    """A file or folder: `size` in bytes (0 of a folder), `changed` in seconds since 1970."""

    size: int
    changed: float
    is_folder: bool = False


@dataclass(frozen=True)
class LiveLease:
    """A lease whose holder is at work, as far as one can tell. `holder`: None where it is not whole yet."""

    place: str
    holder: Holder | None


@dataclass
class Version:
    """One version of an artefact, or what attempts at it left. `entries` by their path in its folder."""

    asset: str
    partition: str
    fingerprint: str
    entries: dict[str, Entry] = field(default_factory=dict)
    manifest: Manifest | None = None
    unreadable: str = ""
    is_current: bool = False
    lease: LiveLease | None = None

    @property
    def key(self) -> Key:
        return self.asset, self.partition, self.fingerprint

    @property
    def place(self) -> str:
        return "/".join(self.key)

    @cached_property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries.values())

    @property
    def made_at(self) -> float:
        """When it was made, of an attempt when something last changed; seconds since 1970."""
        if self.manifest and self.manifest.created_at:
            return datetime.datetime.fromisoformat(self.manifest.created_at).timestamp()
        return self.changed_at()

    def changed_at(self, *names: str) -> float:
        """The last change of those names in its folder, and of what is below them; by default of all."""
        found = (
            entry.changed for path, entry in self.entries.items() if not names or path.split("/")[0] in names
        )
        return max(found, default=0.0)

    @cached_property
    def names(self) -> list[str]:
        """What is in its folder itself."""
        return sorted({path.split("/")[0] for path in self.entries})

    @cached_property
    def kept_names(self) -> set[str]:
        """Those of `names` that the manifest's files are, or lie in."""
        files = self.manifest.files.values() if self.manifest else ()
        return {entry.path.split("/")[0] for entry in files}

    def is_left(self, name: str) -> bool:
        """Whether a name in its folder is of an attempt that was killed."""
        match = OF_AN_ATTEMPT.fullmatch(name)
        if match is None or name in self.kept_names:
            return False
        return is_abandoned(match["attempt"], lambda: self.changed_at(name))

    @property
    def is_at_work(self) -> bool:
        """Whether somebody makes it now."""
        if self.is_half_removed:
            return False
        attempts = (name for name in self.names if OF_AN_ATTEMPT.fullmatch(name))
        unfinished = (name for name in attempts if name not in self.kept_names)
        return self.lease is not None or any(not self.is_left(name) for name in unfinished)

    @property
    def is_half_removed(self) -> bool:
        """Whether its removal was interrupted: the manifest's copy goes last."""
        has_manifest = self.manifest is not None or self.unreadable
        return not has_manifest and self.lease is None and MANIFEST_COPY in self.entries

    @property
    def state(self) -> State:
        """As far as it shows without reading its files."""
        if self.unreadable or (self.manifest and self.missing):
            return State.DAMAGED
        if self.manifest:
            return State.WHOLE
        return State.IN_PROGRESS if self.is_at_work else State.KILLED

    @property
    def missing(self) -> list[str]:
        """The files that its manifest names and that are not there, or not of their size."""
        files = self.manifest.files if self.manifest else {}
        return [
            name
            for name, file in files.items()
            if (found := self.entries.get(file.path)) is None or found.size != file.size
        ]


@dataclass(frozen=True)
class Pointer:
    """What is current in a partition, and since when (s since 1970). `fingerprint`: None if unreadable."""

    fingerprint: str | None
    since: float


@dataclass
class Contents:
    """Everything in a store, or of the assets that were asked for.

    `loose` is what lies beside the versions, by its path in the store: tables, pages, pointers, and what
    attempts at a whole partition left.
    """

    versions: dict[Key, Version] = field(default_factory=dict)
    pointers: dict[tuple[str, str], Pointer] = field(default_factory=dict)
    leases: list[LiveLease] = field(default_factory=list)
    loose: dict[str, Entry] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """The folders of the store, also of assets that were not asked for."""

    def chosen(self, patterns: Iterable[str]) -> list[Version]:
        """The versions that any of the shell-style patterns `ASSET` or `ASSET/PARTITION` names, all without
        one. Raises `ConfigError` for a pattern that names none."""
        versions = list(self.versions.values())
        patterns = list(patterns)
        for pattern in patterns:
            if not any(matches(version, pattern) for version in versions):
                known = {name for one in versions for name in (one.asset, f"{one.asset}/{one.partition}")}
                names = {name for name in self.names if not name.startswith(".")}
                others = (known | names) - {pattern}  # an asset's folder may hold no version
                raise ConfigError(unknown("nothing in the store matches", pattern, others))
        return [one for one in versions if not patterns or any(matches(one, item) for item in patterns)]

    def inputs_of(self, manifest: Manifest) -> list[Version]:
        """The versions that an artefact was made from, as far as they are there.

        A manifest may name an input's asset only: then those of all partitions that have its fingerprint.
        """
        found = []
        for name, fingerprint in manifest.inputs.items():
            asset, _, partition = name.partition("/")
            found += [
                version
                for version in self._by_fingerprint.get((asset, fingerprint), ())
                if not partition or version.partition == partition
            ]
        return found

    def lineage(self, versions: Iterable[Version]) -> dict[Key, Version]:
        """For everything that these were made from, directly or not: one of those that need it."""
        needed_by: dict[Key, Version] = {}
        waiting = [version for version in versions if version.manifest]
        while waiting:
            version = waiting.pop()
            for made_from in self.inputs_of(version.manifest) if version.manifest else ():
                if made_from.key not in needed_by:
                    needed_by[made_from.key] = version
                    waiting.append(made_from)
        return needed_by

    @cached_property
    def _by_fingerprint(self) -> dict[tuple[str, str], list[Version]]:
        found: dict[tuple[str, str], list[Version]] = {}
        for version in self.versions.values():
            found.setdefault((version.asset, version.fingerprint), []).append(version)
        return found


def matches(version: Version, pattern: str) -> bool:
    """Whether a pattern `ASSET` or `ASSET/PARTITION` names it."""
    asset, slash, partition = pattern.partition("/")
    fits = fnmatch.fnmatchcase(version.asset, asset)
    return fits and (not slash or fnmatch.fnmatchcase(version.partition, partition))


def scan(store: Store, patterns: Iterable[str] = ()) -> Contents:
    """What is in a store, of the assets that the patterns name (default: all), without reading artefacts'
    files.

    A manifest that was edited is mended from its copy, as whenever one is read. Raises `StoreError` where the
    store cannot be read.
    """
    contents = Contents(
        names=[name for name in store.list_names("") if f"{store.root}/{name}" != str(store.cache)]
    )
    assets = [pattern.partition("/")[0] for pattern in patterns]
    for asset in contents.names:
        if not assets or any(fnmatch.fnmatchcase(asset, one) for one in assets):
            _take_in(contents, walk(store, asset))
    _read_pointers(store, contents)
    _read_versions(store, contents)
    _read_leases(store, contents)
    return contents


def walk(store: Store, folder: str) -> Iterator[tuple[str, Entry]]:
    """Every file below a folder of the store, and of a local store every folder, by its path in the store."""
    if store.is_local:
        yield from _walk_local(store.root, folder)
        return
    for path, info in store.reading.find(f"{store.root}/{folder}", detail=True).items():
        relative = path.removeprefix(f"{store.root}/")
        yield relative, Entry(info["size"] or 0, _changed(info))


def live_lease(store: Store, place: str, names: dict[str, Entry]) -> LiveLease | None:
    """The lease among the files of a folder, where its holder is at work."""
    matches = {name: match for name in names if (match := LEASE.fullmatch(name))}
    found = {int(match["number"]): name for name, match in matches.items() if not match["written"]}
    if not found:
        return None
    name = found[max(found)]
    content = store.read_bytes(f"{place}/{name}")
    if content is None:  # given back meanwhile
        return None
    holder = Holder.read(content)
    seen = max(names[name].changed, holder.heartbeat if holder else 0.0)
    if (holder and holder.is_gone()) or time.time() - seen > SILENT_SECONDS:
        return None
    return LiveLease(place, holder)


def names_in(store: Store, folder: str) -> dict[str, Entry]:
    """The files in a folder of the store as it is now."""
    path = f"{store.root}/{folder}"
    with contextlib.suppress(FileNotFoundError):
        found = store.reading.ls(path, detail=True)
        return {
            info["name"].rstrip("/").rsplit("/", 1)[-1]: Entry(info["size"] or 0, _changed(info))
            for info in found
            if info["type"] == "file"
        }
    return {}


# --- inside -----------------------------------------------------------------------------------------------


def _walk_local(root: str, folder: str) -> Iterator[tuple[str, Entry]]:
    """Through links to folders, too: an asset may lie on another disk."""
    seen = set()
    for parent, folders, files in os.walk(f"{root}/{folder}", followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in (*folders, *files):
            path = f"{parent}/{name}"
            try:
                found = os.stat(path) if os.path.exists(path) else os.lstat(path)
            except FileNotFoundError:  # an attempt is over meanwhile
                continue
            is_folder = os.path.isdir(path)
            yield (
                path.removeprefix(f"{root}/"),
                Entry(0 if is_folder else found.st_size, found.st_mtime, is_folder),
            )


def _changed(info: dict[str, Any]) -> float:
    """Of an fsspec listing; now where it does not say, as nothing old may be concluded from that."""
    found = info.get("LastModified") or info.get("mtime") or info.get("created")
    return found.timestamp() if hasattr(found, "timestamp") else float(found or time.time())


def _take_in(contents: Contents, found: Iterator[tuple[str, Entry]]) -> None:
    for path, entry in found:
        parts = path.split("/", 3)
        if len(parts) == 1:  # a file beside the assets is nobody's
            continue
        if len(parts) > 2 and FINGERPRINT.fullmatch(parts[2]):
            key = (parts[0], parts[1], parts[2])
            version = contents.versions.setdefault(key, Version(*key))
            if len(parts) == 4:
                version.entries[parts[3]] = entry
        else:
            contents.loose[path] = entry


def _read_pointers(store: Store, contents: Contents) -> None:
    for path, entry in contents.loose.items():
        asset, _, rest = path.partition("/")
        partition, _, name = rest.partition("/")
        if name != CURRENT:
            continue
        try:
            fingerprint = pointed_to(store.read_bytes(path) or b"")
        except ValueError:
            fingerprint = None
        contents.pointers[asset, partition] = Pointer(fingerprint, entry.changed)
        if version := contents.versions.get((asset, partition, fingerprint or "")):
            version.is_current = True


def _read_versions(store: Store, contents: Contents) -> None:
    def read(version: Version) -> None:
        try:
            version.manifest = store.read_manifest(*version.key)
        except DamagedError as error:
            version.unreadable = str(error)

    there = [version for version in contents.versions.values() if MANIFEST in version.entries]
    for _ in store.each(read, there):
        pass


def _read_leases(store: Store, contents: Contents) -> None:
    for version in contents.versions.values():
        names = {name: version.entries[name] for name in version.names if name in version.entries}
        version.lease = live_lease(store, version.place, names)
        contents.leases += [version.lease] if version.lease else []
    beside: dict[str, dict[str, Entry]] = {}
    for path, entry in contents.loose.items():
        folder, _, name = path.rpartition("/")
        beside.setdefault(folder, {})[name] = entry
    for folder, names in beside.items():
        lease = live_lease(store, folder, names)
        contents.leases += [lease] if lease else []
