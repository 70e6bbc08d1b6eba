"""Removing from a store so that every reader sees an artefact whole or not at all, and nobody who is at work
loses anything.

The manifest goes first: without it an artefact does not exist, however far the removal comes. What a killed
removal leaves is like what a killed attempt leaves.
"""

import contextlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator

from gan_core.errors import GanError
from gan_core.housekeeping.contents import Key, live_lease, names_in
from gan_core.store import MANIFEST, Manifest, Store
from gan_core.store.attempts import LEASE
from gan_core.store.lease import Lease
from gan_core.store.store import CURRENT, MANIFEST_COPY, OF_AN_ATTEMPT, manifest_of, pointed_to

logger = logging.getLogger("gan_core")


class InUse(GanError):
    """Somebody needs what was to be removed: it stays."""


def remove_version(store: Store, key: Key) -> None:
    """Remove a whole version. Raises `InUse` where it has become current, `LeaseError` where somebody makes
    it."""
    place = "/".join(key)
    with alone(store, key):
        _refuse_current(store, key)
        text = store.read_bytes(f"{place}/{MANIFEST}")
        own = _named_by(store.read_manifest(*key))
        store.remove(f"{place}/{MANIFEST}")
        try:
            _refuse_current(store, key)  # `Store.reuse` points there first and then looks for the manifest
        except InUse:
            if text is not None:
                store.write_atomically(f"{place}/{MANIFEST}", text)
            raise
        _remove_names(store, place, store.list_names(place), own)


def remove_leftovers(store: Store, key: Key, names: Iterable[str] | None = None) -> None:
    """Remove what attempts left in a version's folder: these names, or the whole folder of what was never
    published. Raises `InUse` where it was published meanwhile, `LeaseError` where somebody makes it."""
    place = "/".join(key)
    with alone(store, key):
        manifest = store.read_manifest(*key)
        if names is None and manifest:
            raise InUse(f"{place} has been published meanwhile")
        if names is None:
            _remove_names(store, place, store.list_names(place), _named_by(_copied(store, key)))
            return
        needed = _named_by(manifest)
        _remove_names(store, place, [name for name in names if name not in needed])


@contextlib.contextmanager
def alone(store: Store, key: Key, wait: float = 0.0) -> Iterator[None]:
    """With the leases on an artefact and on its partition, which some steps take instead. An empty folder is
    removed behind it. Raises `LeaseError` where another holds one for more than `wait` seconds."""
    asset, partition, fingerprint = key
    with contextlib.ExitStack() as stack:
        for name in ("", fingerprint):
            _remove_dead_leases(store, "/".join(filter(None, (asset, partition, name))))
            stack.enter_context(Lease(store, asset, partition, name, logger.debug, wait=wait))
        yield
    if store.is_local:
        with contextlib.suppress(OSError):  # something is in it, or it is gone
            os.rmdir(store.folder(*key))


# --- inside -----------------------------------------------------------------------------------------------


def _refuse_current(store: Store, key: Key) -> None:
    asset, partition, fingerprint = key
    pointer = store.read_bytes(f"{asset}/{partition}/{CURRENT}")
    with contextlib.suppress(ValueError):
        if pointer is None or pointed_to(pointer) != fingerprint:
            return
    raise InUse(f"{'/'.join(key)} has become current meanwhile")


def _named_by(manifest: Manifest | None) -> set[str]:
    """What of its folder an artefact's files are, or lie in."""
    return {entry.path.split("/")[0] for entry in manifest.files.values()} if manifest else set()


def _copied(store: Store, key: Key) -> Manifest | None:
    """What the manifest's copy says, where a removal has left one."""
    text = store.read_bytes(f"{'/'.join(key)}/{MANIFEST_COPY}")
    with contextlib.suppress(ValueError):
        return manifest_of(text, *key) if text else None
    return None


def _remove_names(store: Store, place: str, names: Iterable[str], own: Collection[str] = frozenset()) -> None:
    """All but what is of an attempt by somebody who has no lease, as on tables; `own` is no attempt's.

    The manifest's copy goes last: it says that this is a removal, and of what.
    """
    for name in sorted(names, key=lambda name: name == MANIFEST_COPY):
        of_another = OF_AN_ATTEMPT.fullmatch(name) and name not in own
        if name == MANIFEST or LEASE.fullmatch(name) or (of_another and not store.is_left(f"{place}/{name}")):
            continue
        store.remove(f"{place}/{name}")


def _remove_dead_leases(store: Store, place: str) -> None:
    """Of processes of other hosts that have been silent for so long that nobody waits for them."""
    names = names_in(store, place)
    if live_lease(store, place, names) is None:
        for name in names:
            if LEASE.fullmatch(name):
                store.remove(f"{place}/{name}")
