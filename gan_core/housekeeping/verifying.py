"""Whether what is in a store is what its manifests say, byte for byte, and what to do where it is not."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gan_core.housekeeping.contents import Contents, Version
from gan_core.progress import Progress
from gan_core.remedies import how_to_make
from gan_core.store import Store

logger = logging.getLogger("gan_core")
MEGABYTE = 10**6


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with an artefact, and the remedy, which ends a sentence."""

    place: str
    is_current: bool
    problem: str
    remedy: str


@dataclass(frozen=True)
class Verification:
    """How much was looked at, and what is wrong with it."""

    artefacts: int
    files: int
    bytes: int
    damages: tuple[Damage, ...]


def verify_store(
    store: Store, contents: Contents, patterns: Iterable[str] = (), emit: Callable[[str], None] = logger.info
) -> Verification:
    """Hash every file of every artefact that the patterns name, and follow every pointer.

    Raises `StoreError` where a remote store cannot be read, which says nothing of what is in it, and
    `ConfigError` for a pattern that names nothing.
    """
    chosen = contents.chosen(patterns)
    readable = [version for version in chosen if version.manifest]
    damages = [_unreadable(version) for version in chosen if version.unreadable]
    damages += _wrong_pointers(contents, chosen)
    total = sum(version.manifest.total_bytes for version in readable)
    progress, done = Progress("verifying", total // MEGABYTE, "MB", emit=emit), 0
    for version in readable:
        damages += _damages(store, contents, version)
        done += version.manifest.total_bytes
        progress.update(done // MEGABYTE)
    files = sum(len(version.manifest.files) for version in readable)
    return Verification(len(readable), files, total, tuple(damages))


def _damages(store: Store, contents: Contents, version: Version) -> Iterator[Damage]:
    problems = store.problems(version.manifest, hashes=True)
    if problems and store.read_manifest(*version.key) != version.manifest:
        return  # removed or made again meanwhile
    for problem in problems:
        yield _damage(version, problem)
    there = {(one.asset, one.fingerprint) for one in contents.inputs_of(version.manifest)}
    for name, fingerprint in version.manifest.inputs.items():
        asset = name.partition("/")[0]
        if version.is_current and asset in contents.names and (asset, fingerprint) not in there:
            yield Damage(
                version.place,
                True,
                f"what it was made from is not there: {name} {fingerprint[:12]}",
                f"{how_to_make(version.asset, version.partition)}, which makes what is missing, or import it "
                "from another store",
            )


def _unreadable(version: Version) -> Damage:
    problem, _, remedy = version.unreadable.rpartition("; ")
    return Damage(version.place, version.is_current, problem or remedy, remedy if problem else "see above")


def _damage(version: Version, problem: str) -> Damage:
    remedy = (
        how_to_make(version.asset, version.partition, force=True)
        if version.is_current
        else "it is not current: remove its folder, or import it again from a copy"
    )
    return Damage(version.place, version.is_current, problem, remedy)


def _wrong_pointers(contents: Contents, chosen: list[Version]) -> Iterator[Damage]:
    """Of the partitions of these versions."""
    for asset, partition in dict.fromkeys((version.asset, version.partition) for version in chosen):
        pointer = contents.pointers.get((asset, partition))
        if pointer is None:
            continue
        version = contents.versions.get((asset, partition, pointer.fingerprint or ""))
        if version and (version.manifest or version.unreadable):
            continue
        problem = (
            f"its current version, {pointer.fingerprint[:12]}, is not there"
            if pointer.fingerprint
            else "current.json is damaged or was edited"
        )
        yield Damage(f"{asset}/{partition}", True, problem, how_to_make(asset, partition))
