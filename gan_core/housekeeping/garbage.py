"""What nothing in a store needs any more, and removing it.

What is needed: what is current, what the policy keeps beside it, what somebody at work makes or reads, and
everything that any of these was made from. All else goes; so does what killed attempts left.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from gan_core.config import KeepPolicy
from gan_core.errors import LeaseError
from gan_core.housekeeping.contents import COPYING, TENSORBOARD, Contents, Entry, Key, State, Version, scan
from gan_core.housekeeping.removing import InUse, remove_leftovers, remove_version
from gan_core.progress import Progress
from gan_core.store import CHECKPOINTS, MANIFEST, Store
from gan_core.store.attempts import LEASE, NAME, is_abandoned
from gan_core.store.store import FORCED, MANIFEST_COPY, OF_AN_ATTEMPT
from gan_core.versions import CODE_VERSIONS

logger = logging.getLogger("gan_core")
DAY = 24 * 3600.0
# What was current a moment ago may have been handed to a step that has not taken its lease yet; what was made
# a moment ago may be about to become current.
SETTLED_SECONDS = 3600.0
TEMPORARY = re.compile(rf"\..+\.(?P<attempt>{NAME})")
MEGABYTE = 10**6
# What is made of a dataset is made from what is made of datasets; what is made of an experiment from that and
# from what is made of the same experiment. Everything else may be made from anything.
OF_DATASETS = ("raw_images", "duplicates", "image_shards", "classifier", "reference_statistics", "untrained")
OF_EXPERIMENTS = ("trained_gan", "samples", "evaluation", "analysis", "chosen_analysis")


@dataclass
class Piece:
    """Something that nothing needs. `place` is its path in the store, `why` says why it may go.

    `version`: in whose folder it lies; `names`: what of that folder, None for all of it. `problem` says why
    it stayed after all.
    """

    place: str
    bytes: int
    why: str
    version: Version | None = None
    names: tuple[str, ...] | None = None
    removed: bool = False
    problem: str = ""


@dataclass
class Garbage:
    """`kept`: why a version stays that is not current, by its place. `blocked`: what is not known, so that
    all stays that may be needed."""

    pieces: list[Piece] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(piece.bytes for piece in self.pieces)

    @property
    def freed_bytes(self) -> int:
        return sum(piece.bytes for piece in self.pieces if piece.removed)


def collect_garbage(
    store: Store, policy: KeepPolicy, *, delete: bool = False, emit: Callable[[str], None] = logger.info
) -> Garbage:
    """Find what nothing in the store needs any more, and with `delete` remove it.

    Safe beside everything that works with the store: what is in use by then stays, and its piece says why.
    Where it cannot be known what is needed (a manifest that cannot be read, a process of an earlier version
    that does not say what it reads), no version goes that may be, and `Garbage.blocked` says why. Raises
    `StoreError` where the store cannot be read or written; what was removed until then is gone, the rest
    whole.
    """
    contents = scan(store)
    garbage = find_garbage(store, contents, policy)
    if delete:
        _remove(store, contents, garbage, emit)
    return garbage


def find_garbage(store: Store, contents: Contents, policy: KeepPolicy) -> Garbage:
    """What may go of what was found in a store."""
    now = time.time()
    unknown = list(_unknown(contents))
    garbage = Garbage(blocked=[item.problem for item in unknown])
    needed, garbage.kept = _needed(contents, policy, unknown, now)
    whole = [version for version in contents.versions.values() if version.manifest]
    old = [version for version in whole if version.key not in needed]
    garbage.pieces = [
        Piece(one.place, one.bytes, "nothing needs it", one) for one in _dependents_first(contents, old)
    ]
    going = {version.key for version in old}
    for version in contents.versions.values():
        if version.key not in going:
            garbage.pieces += _leftovers(store, version, policy, now)
    garbage.pieces += _loose(contents, policy, now)
    garbage.pieces += _records(contents, going, policy, now)
    return garbage


# --- what is needed ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unknown:
    """Something of an artefact that cannot be known, so that what it may concern has to stay: `why`."""

    asset: str
    partition: str
    why: str
    problem: str
    is_pointer: bool = False

    def concerns(self, version: Version) -> bool:
        is_here = version.partition == self.partition
        if self.is_pointer:
            return is_here and version.asset == self.asset
        if self.asset not in (*OF_DATASETS, *OF_EXPERIMENTS):
            return True
        if version.asset in OF_EXPERIMENTS:
            return is_here and self.asset in OF_EXPERIMENTS
        return version.asset in OF_DATASETS or version.asset not in CODE_VERSIONS


def _needed(
    contents: Contents, policy: KeepPolicy, unknown: list[Unknown], now: float
) -> tuple[set[Key], dict[str, str]]:
    """The versions that stay; and of those that are not current, why."""
    by_partition: dict[tuple[str, str], list[Version]] = {}
    for version in contents.versions.values():
        by_partition.setdefault((version.asset, version.partition), []).append(version)
    reasons: dict[Key, str] = {}
    for place, versions in by_partition.items():
        reasons |= _kept_of_partition(contents, place, versions, policy, now)
    reasons |= _read_by_processes(contents)
    for item in unknown:
        found = [version.key for version in contents.versions.values() if item.concerns(version)]
        reasons = {**dict.fromkeys(found, item.why), **reasons}
    for key, needed_by in contents.lineage(contents.versions[key] for key in reasons).items():
        reasons.setdefault(key, f"{needed_by.place} was made from it")
    told = {"/".join(key): why for key, why in reasons.items() if not contents.versions[key].is_current}
    return set(reasons), told


def _kept_of_partition(
    contents: Contents, place: tuple[str, str], versions: list[Version], policy: KeepPolicy, now: float
) -> dict[Key, str]:
    keep, pointer = policy.of(place[0]), contents.pointers.get(place)
    reasons: dict[Key, str] = {}
    others = []
    for version in versions:
        if version.is_current:
            reasons[version.key] = "it is current"
        elif version.manifest is None or version.is_at_work:
            reasons[version.key] = "an attempt at it is not over"
        elif pointer is None:
            reasons[version.key] = "no version is current: it may be about to be"
        elif now - max(pointer.since, version.changed_at(MANIFEST)) < SETTLED_SECONDS:
            reasons[version.key] = "it was made or current a moment ago"
        else:
            others.append(version)
    others.sort(key=lambda version: (version.made_at, version.fingerprint), reverse=True)
    for rank, version in enumerate(others):
        if rank < keep.versions:
            reasons[version.key] = f"of the newest {keep.versions} beside the current one"
        elif now - version.made_at < keep.days * DAY:
            reasons[version.key] = f"made in the last {keep.days:g} days"
    return reasons


def _read_by_processes(contents: Contents) -> dict[Key, str]:
    reasons = {}
    for lease in contents.leases:
        for place in (lease.holder and lease.holder.reads) or ():
            key = tuple(place.split("/"))
            if key in contents.versions:
                reasons[key] = f"{lease.holder} reads it"
    return reasons


def _unknown(contents: Contents) -> Iterator[Unknown]:
    """What cannot be known of what is needed."""
    for version in contents.versions.values():
        if version.unreadable:
            problem = f"what {version.place} was made from is not known: {version.unreadable}"
            why = f"{version.place}, which cannot be read, may have been made from it"
            yield Unknown(version.asset, version.partition, why, problem)
    for (asset, partition), pointer in contents.pointers.items():
        if pointer.fingerprint is None:
            where = f"{asset}/{partition}/current.json"
            problem = f"what is current is not known: {where} is damaged: see `store verify`"
            yield Unknown(asset, partition, f"{where} is damaged: it may be current", problem, True)
    for lease in contents.leases:
        if lease.holder is None or lease.holder.reads is None:
            who = lease.holder or "a process that has just begun"
            problem = f"what is read for {lease.place} is not known: {who} does not say: wait for it to end"
            asset, partition = f"{lease.place}/".split("/")[:2]
            yield Unknown(asset, partition, f"{who} may read it for {lease.place}", problem)


def _dependents_first(contents: Contents, versions: list[Version]) -> list[Version]:
    """So that nothing is ever there without what it was made from."""
    going = {version.key for version in versions}
    sorter: TopologicalSorter[Key] = TopologicalSorter(dict.fromkeys(going, ()))
    for version in versions:
        for made_from in contents.inputs_of(version.manifest):
            if made_from.key in going:
                sorter.add(made_from.key, version.key)
    return [contents.versions[key] for key in sorter.static_order()]


# --- what attempts left -----------------------------------------------------------------------------------


def _leftovers(store: Store, version: Version, policy: KeepPolicy, now: float) -> list[Piece]:
    if version.unreadable or version.lease:
        return []
    if version.manifest is None:
        return _of_killed(version, policy, now) if version.state is State.KILLED else []
    names = [name for name in version.names if version.is_left(name)]
    resumable = [name for name in (CHECKPOINTS, FORCED) if name in version.names]
    if resumable and (
        not store.is_begun_again(*version.key) or _is_old(version.changed_at(*resumable), policy, now)
    ):
        names += resumable
    return _pieces_in(version, names, "left by an attempt that has ended")


def _of_killed(version: Version, policy: KeepPolicy, now: float) -> list[Piece]:
    """Of a folder without manifest at which nobody is at work."""
    left = [name for name in version.names if OF_AN_ATTEMPT.fullmatch(name)]
    resumable = [name for name in version.names if name not in left and not LEASE.fullmatch(name)]
    if version.is_half_removed:
        if now - version.changed_at(MANIFEST_COPY) < SETTLED_SECONDS:  # or about to be published
            return []
        return [Piece(version.place, version.bytes, "its removal was interrupted", version)]
    if not resumable:
        return [Piece(version.place, version.bytes, "left by a killed attempt", version)]
    if _is_old(version.changed_at(*resumable), policy, now):
        why = f"nobody went on with it for {policy.unfinished_days:g} days"
        return [Piece(version.place, version.bytes, why, version)]
    return _pieces_in(version, left, "left by a killed attempt")


def _pieces_in(version: Version, names: list[str], why: str) -> list[Piece]:
    if not names:
        return []
    size = sum(entry.size for path, entry in version.entries.items() if path.split("/")[0] in names)
    return [Piece(version.place, size, why, version, tuple(names))]


def _is_old(changed: float, policy: KeepPolicy, now: float) -> bool:
    return now - changed > policy.unfinished_days * DAY


def _loose(contents: Contents, policy: KeepPolicy, now: float) -> list[Piece]:
    """Beside the versions: files that never got their name, and notes of passes that nobody went on with."""
    from gan_core.data.inventory import PARTS

    pieces = []
    notes: dict[str, list[Entry]] = {}
    leased = {lease.place for lease in contents.leases}
    for path, entry in contents.loose.items():
        folder, _, name = path.rpartition("/")
        if LEASE.fullmatch(name) and folder not in leased:
            place = folder if folder.startswith(COPYING) else path
            pieces.append(Piece(place, entry.size, "the lease of a process that has ended"))
            continue
        match = TEMPORARY.fullmatch(name)
        if match and is_abandoned(match["attempt"], lambda entry=entry: entry.changed):
            pieces.append(Piece(path, entry.size, "left by a killed attempt"))
        parts = path.split("/")
        if len(parts) > 2 and parts[0] == "raw_images" and parts[2].startswith(PARTS):
            notes.setdefault("/".join(parts[:3]), []).append(entry)
    for place, entries in notes.items():
        is_free = place.rpartition("/")[0] not in leased
        if is_free and _is_old(max(entry.changed for entry in entries), policy, now):
            why = f"nobody went on with it for {policy.unfinished_days:g} days"
            pieces.append(Piece(place, sum(entry.size for entry in entries), why))
    return pieces


def _records(contents: Contents, going: set[Key], policy: KeepPolicy, now: float) -> list[Piece]:
    """Curves for TensorBoard of trainings that are gone."""
    there = {
        (key[1], key[2][:12]) for key in contents.versions if key[0] == "trained_gan" and key not in going
    }
    found: dict[tuple[str, str], list[Entry]] = {}
    for path, entry in contents.loose.items():
        parts = path.split("/")
        if parts[0] == TENSORBOARD and len(parts) > 3:
            found.setdefault((parts[1], parts[2]), []).append(entry)
    return [
        Piece(f"{TENSORBOARD}/{name}/{start}", sum(one.size for one in entries), "its training is gone")
        for (name, start), entries in found.items()
        if (name, start) not in there and _is_old(max(one.changed for one in entries), policy, now)
    ]


# --- removing ---------------------------------------------------------------------------------------------


def _remove(store: Store, contents: Contents, garbage: Garbage, emit: Callable[[str], None]) -> None:
    progress, done = Progress("clearing away", garbage.bytes // MEGABYTE, "MB", emit=emit), 0
    stays: dict[Key, str] = {}
    for piece in garbage.pieces:
        if piece.version and piece.version.key in stays:
            piece.problem = stays[piece.version.key]
            continue
        try:
            _remove_piece(store, piece)
            piece.removed = True
        except (InUse, LeaseError) as error:
            piece.problem = str(error)
            if piece.version:  # what it was made from comes later, and stays too
                needed = contents.lineage([piece.version])
                stays |= dict.fromkeys(needed, f"{piece.place} was made from it, and stays")
        done += piece.bytes
        progress.update(done // MEGABYTE)


def _remove_piece(store: Store, piece: Piece) -> None:
    if piece.version is None:
        store.remove(piece.place)
    elif piece.version.manifest and piece.names is None:
        remove_version(store, piece.version.key)
    else:
        remove_leftovers(store, piece.version.key, piece.names)
