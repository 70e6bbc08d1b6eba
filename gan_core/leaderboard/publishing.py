"""How the leaderboard and the report are published, and their old versions removed."""

import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gan_core.errors import DamagedError, StoreError
from gan_core.store import MANIFEST, Manifest, Store

logger = logging.getLogger("gan_core")

# So many versions stay beside the current one: those that somebody may just be reading.
KEPT_VERSIONS = 3
NOTHING: Mapping[str, str] = MappingProxyType({})


def produce_table(store: Store, asset: str, partition: str, *, force: bool, **made_from: Any) -> Manifest:
    """`Store.produce` for what is made in a moment: where what is there is damaged, it is made again."""
    try:
        return store.produce(asset, partition, force=force, **made_from)
    except DamagedError as error:
        if force:
            raise
        logger.warning("%s", error)
    return store.produce(asset, partition, force=True, **made_from)


def prune(store: Store, current: Manifest, *, read_by: tuple[str, ...] = ()) -> list[str]:
    """Remove the versions of an artefact that are older than the newest few; return their fingerprints.

    The current version stays, and so does one that a stored artefact of the assets `read_by` was made from.
    What has no manifest is not whole yet and is left alone.
    """
    place = f"{current.asset}/{current.partition}"
    others = [item for item in _versions(store, current.asset, current.partition) if _differs(item, current)]
    others.sort(key=lambda item: (item.created_at, item.fingerprint), reverse=True)
    needed = {
        item.inputs.get(place)
        for asset in read_by
        for partition in store.list_names(asset)
        for item in _versions(store, asset, partition)
    }
    old = [item.fingerprint for item in others[KEPT_VERSIONS:] if item.fingerprint not in needed]
    for fingerprint in old:
        # The manifest first: without it the artefact does not exist, however far the removal comes.
        store.remove(f"{place}/{fingerprint}/{MANIFEST}")
        store.remove(f"{place}/{fingerprint}")
    return old


def _versions(store: Store, asset: str, partition: str) -> Iterator[Manifest]:
    for name in store.list_names(f"{asset}/{partition}"):
        if "." in name:  # current.json
            continue
        try:
            found = store.read_manifest(asset, partition, name)
        except StoreError as error:
            logger.warning("%s: it is left alone", error)
            continue
        if found:
            yield found


def _differs(item: Manifest, current: Manifest) -> bool:
    return item.fingerprint != current.fingerprint
