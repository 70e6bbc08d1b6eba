"""Artefacts from one store into another, or into an archive and out of it.

Every file is hashed where it comes from and where it arrives, and the manifest is written last: a reader of
the other place sees an artefact whole or not at all. What an interrupted copy has brought stays and is not
brought again.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

from gan_core.champions.reigns import ASSET as CHAMPION
from gan_core.errors import DamagedError, StoreError
from gan_core.housekeeping.archives import SUFFIX, Archive, write_archive
from gan_core.housekeeping.contents import COPYING, Contents, Key, Version, scan
from gan_core.housekeeping.removing import alone
from gan_core.progress import Progress, format_bytes
from gan_core.store import CHECKPOINTS, MANIFEST, Manifest, Store, sha256_of
from gan_core.store.attempts import LEASE, attempt_name
from gan_core.store.lease import Lease
from gan_core.store.store import FORCED, MANIFEST_COPY

logger = logging.getLogger("gan_core")
MEGABYTE = 10**6
# Of an artefact's folder: what its manifest's files cannot be.
RESERVED = {MANIFEST, MANIFEST_COPY, FORCED, CHECKPOINTS}
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")
WAIT_SECONDS = 60.0  # for somebody who makes the same artefact


class Origin(Protocol):
    """Where artefacts come from: a store or an archive file."""

    contents: Contents

    def fetch(self, manifest: Manifest, name: str, target: Path) -> None:
        """Write a file of an artefact to a local path."""

    def origin(self, manifest: Manifest, name: str) -> str:
        """Where that file is, for a message."""


@dataclass
class Moved:
    """What was done: the places of artefacts that were brought and of those that were there already, the
    partitions (`<asset>/<partition>`) of which one became current, and the bytes that were brought."""

    copied: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    became_current: list[str] = field(default_factory=list)
    bytes: int = 0


def export_artefacts(
    store: Store,
    target: str | os.PathLike,
    patterns: Iterable[str] = (),
    *,
    lineage: bool = False,
    old_versions: bool = False,
    replace: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Moved:
    """Copy artefacts that the patterns name (`ASSET` or `ASSET/PARTITION`) into another store, a folder or
    URL, or into one file, whose name ends in `.tar`.

    Of each partition the current version, with `old_versions` all; with `lineage` everything that these were
    made from, too. `replace`: see `copy_artefacts`; of an archive it replaces the file.

    Raises `ConfigError` for a pattern that names nothing, and `StoreError` before anything is copied for what
    is damaged or does not fit.
    """
    if str(target).lower().endswith(PACKED):
        raise StoreError(f"{target}: an archive is not packed: name a file that ends in {SUFFIX}")
    contents = scan(store)
    versions = selected(contents, patterns, lineage=lineage, old_versions=old_versions)
    if not str(target).endswith(SUFFIX):
        other = Store(target)
        if other.is_local == store.is_local and f"{other.root}/".startswith(f"{store.root}/"):
            raise StoreError(f"{target} is the store itself, or in it: name another place")
        return copy_artefacts(_StoreOrigin(store, contents), other, versions, replace=replace, emit=emit)
    path = Path(os.path.abspath(target))
    if "://" in str(target):
        raise StoreError(
            f"{target}: an archive is written to a local file: name one, or a store without {SUFFIX}"
        )
    if store.is_local and path.is_relative_to(store.root):
        raise StoreError(f"{path} is in the store: name another place")
    if path.exists() and not replace:
        raise StoreError(f"{path} is there already: name another file, or replace it with --replace")
    total = sum(version.manifest.total_bytes for version in versions)
    _check_room(path.parent, total)
    progress, done = Progress("exporting", total // MEGABYTE, "MB", emit=emit), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress.update(done // MEGABYTE)

    write_archive(path, store, versions, advance)
    return Moved(copied=[version.place for version in versions], bytes=total)


def import_artefacts(
    store: Store,
    source: str | os.PathLike,
    patterns: Iterable[str] = (),
    *,
    lineage: bool = False,
    old_versions: bool = True,
    current: bool = False,
    replace: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Moved:
    """Bring artefacts from another store or from an archive file into this one; see `export_artefacts`.

    An artefact that is current where it comes from becomes so here in a partition that has no current one;
    with `current` in any. A champion out of an archive does so with `current` only: no check of this store
    has promoted it. Killed in between, the same call goes on.
    """
    if str(source).lower().endswith(PACKED):
        raise StoreError(f"{source}: an archive is not packed: unpack it, and name the {SUFFIX} in it")
    if not str(source).endswith(SUFFIX):
        origin = Store(source)
        contents = scan(origin)
        if not contents.versions:
            raise StoreError(f"there are no artefacts at {source}: name a store, or an archive file")
        versions = selected(contents, patterns, lineage=lineage, old_versions=old_versions)
        found = _StoreOrigin(origin, contents)
        return copy_artefacts(found, store, versions, current=current, replace=replace, emit=emit)
    with Archive(Path(source)) as archive:
        versions = selected(archive.contents, patterns, lineage=lineage, old_versions=old_versions)
        if not current:
            _crown_none(versions, emit)
        return copy_artefacts(archive, store, versions, current=current, replace=replace, emit=emit)


def selected(
    contents: Contents, patterns: Iterable[str], *, lineage: bool, old_versions: bool
) -> list[Version]:
    """The whole versions that patterns name, what they were made from before them."""
    chosen = [one for one in contents.chosen(patterns) if one.is_current or old_versions]
    damaged = [one for one in chosen if one.unreadable]
    if damaged:
        raise DamagedError(damaged[0].unreadable)
    whole = {one.key: one for one in chosen if one.manifest}
    if not whole:
        raise StoreError("of what was named no artefact is whole and current: see `store ls`")
    if lineage:
        whole |= {key: contents.versions[key] for key in contents.lineage(whole.values())}
    graph: dict[Key, list[Key]] = {}
    for version in sorted(whole.values(), key=lambda one: one.key):
        if version.manifest is None:
            raise DamagedError(version.unreadable or f"{version.place} is gone meanwhile")
        graph[version.key] = [one.key for one in contents.inputs_of(version.manifest) if one.key in whole]
    return [whole[key] for key in TopologicalSorter(graph).static_order()]


def copy_artefacts(
    origin: Origin,
    store: Store,
    versions: list[Version],
    *,
    current: bool = False,
    replace: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Moved:
    """Bring these versions into a store, those that others were made from first.

    One that is there with the same content is left as it is; with other content (it was made again with
    force, or on another device) it is refused before anything is copied, or with `replace` replaced.
    """
    for version in versions:
        _refuse_reserved(version.manifest)
    if not replace:
        _refuse_others(store, versions)
    total = sum(version.manifest.total_bytes for version in versions)
    if store.is_local:
        _check_room(Path(store.root), total - _there_bytes(store, versions))
    moved = Moved()
    progress, done = Progress("copying artefacts", total // MEGABYTE, "MB", emit=emit), 0
    reads = [version.manifest for version in versions]
    with _announced(store, reads, emit):
        for version in versions:
            _copy_version(origin, store, version.manifest, moved)
            done += version.manifest.total_bytes
            progress.update(done // MEGABYTE)
        for version in versions:
            if version.is_current and (current or _has_no_current(store, version)):
                store.point_to(version.manifest)
                moved.became_current.append(f"{version.asset}/{version.partition}")
    return moved


# --- inside -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _announced(store: Store, manifests: list[Manifest], emit: Callable[[str], None]) -> Iterator[None]:
    """So that nobody clears away what came first before that is there which needs it."""
    name = attempt_name()
    try:
        with Lease(store, COPYING, name, "", emit, reads=manifests):
            yield
    finally:
        store.remove(f"{COPYING}/{name}")


@dataclass(frozen=True)
class _StoreOrigin:
    store: Store
    contents: Contents

    def fetch(self, manifest: Manifest, name: str, target: Path) -> None:
        path = self.store.file_path(manifest, name)
        try:
            if self.store.is_local:
                shutil.copyfile(path, target)
            else:
                self.store.reading.copy(path, target)
        except FileNotFoundError as error:
            raise StoreError(f"{self.origin(manifest, name)} is missing: see `store verify`") from error

    def origin(self, manifest: Manifest, name: str) -> str:
        return self.store.address(self.store.file_path(manifest, name))


def _copy_version(origin: Origin, store: Store, manifest: Manifest, moved: Moved) -> None:
    with alone(store, (manifest.asset, manifest.partition, manifest.fingerprint), WAIT_SECONDS):
        there = _existing(store, manifest)
        is_there = there is not None and there.version == manifest.version
        if is_there and not store.problems(there, hashes=True):
            moved.present.append(manifest.place)
            return
        if there and not is_there and _paths(there) & _paths(manifest):
            store.remove(f"{manifest.place}/{MANIFEST}")  # half of each is never seen
        for name in manifest.files:
            if store.problem(manifest, name, hashes=True):
                _bring(origin, store, manifest, name)
                moved.bytes += manifest.files[name].size
        if problems := store.problems(manifest, hashes=True):
            raise StoreError(
                f"{problems[0]}, although it was just written: have the disk or network looked at"
            )
        store.publish(manifest, current=False)
        moved.copied.append(manifest.place)


def _bring(origin: Origin, store: Store, manifest: Manifest, name: str) -> None:
    entry = manifest.files[name]
    with store.writing(f"{manifest.place}/{entry.path}") as path:
        origin.fetch(manifest, name, path)
        if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
            path.unlink()
            raise StoreError(
                f"{origin.origin(manifest, name)} does not match its manifest (size or sha256): mend it "
                "there (`store verify` says how), then run the same command again: it goes on from here"
            )


def _crown_none(versions: list[Version], emit: Callable[[str], None]) -> None:
    for version in versions:
        if version.asset == CHAMPION and version.is_current:
            version.is_current = False
            emit(
                f"champion/{version.partition} is brought, and is not the champion here, as nothing here has "
                "promoted it: `store import --current` makes it that"
            )


def _paths(manifest: Manifest) -> set[str]:
    return {entry.path for entry in manifest.files.values()}


def _existing(store: Store, manifest: Manifest) -> Manifest | None:
    """What is in its place; None also where that is damaged, which a whole one mends."""
    try:
        return store.read_manifest(manifest.asset, manifest.partition, manifest.fingerprint)
    except DamagedError as error:
        logger.warning("%s", error)
        return None


def _has_no_current(store: Store, version: Version) -> bool:
    try:
        return store.current(version.asset, version.partition) is None
    except DamagedError as error:
        logger.warning("%s", error)
        return True


def _refuse_others(store: Store, versions: list[Version]) -> None:
    for version in versions:
        there = _existing(store, version.manifest)
        if there is not None and there.version != version.manifest.version:
            raise StoreError(
                f"{version.place} is in {store.url} with other content (it was made again with force, or on "
                "another device): leave it out, or replace it with --replace"
            )


def _refuse_reserved(manifest: Manifest) -> None:
    for entry in manifest.files.values():
        top, *below = entry.path.split("/")
        if not below or top in RESERVED or top.startswith(".") or LEASE.fullmatch(top):
            raise StoreError(
                f"the manifest of {manifest.place} names a file that is none of an artefact's, "
                f"`{entry.path}`: nothing was copied; have it made again"
            )


def _there_bytes(store: Store, versions: list[Version]) -> int:
    return sum(
        entry.size
        for version in versions
        for name, entry in version.manifest.files.items()
        if store.problem(version.manifest, name, hashes=False) is None
    )


def _check_room(folder: Path, needed: int) -> None:
    """Raise `StoreError` where a disk has less room."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise StoreError(
            f"{folder} would need {format_bytes(needed)}, and {format_bytes(free)} are free: free space "
            "there, or name another place"
        )
