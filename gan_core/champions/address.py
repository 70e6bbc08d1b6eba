"""`champion:<dataset>`: an address that stays the same and leads to the bundle of today's champion."""

import shutil
from collections.abc import Callable
from pathlib import Path

from gan_core.bundles.contents import LIST, Bundle, is_bundle
from gan_core.champions.reigns import champion_of
from gan_core.errors import GanError
from gan_core.placing import new_folder
from gan_core.store import Manifest, Store

PREFIX = "champion:"
BUNDLE = "bundle"  # the folder of a champion's files that its bundle is


def bundle_at(name: str, store: Callable[[], Store]) -> Bundle | None:
    """The bundle that a user names: a folder, or `champion:<dataset>` for that of the champion in `store`.

    None for what is neither, such as the name of an experiment. Who is promoted meanwhile changes nothing of
    a bundle that was opened. `StoreError` where there is no champion, `DamagedError` for a damaged bundle.
    """
    place = place_of(name, store)
    return Bundle.open(place) if name.startswith(PREFIX) or is_bundle(place) else None


def place_of(name: str, store: Callable[[], Store]) -> Path:
    """The folder of such a bundle, as it is. `StoreError` where there is no champion."""
    if not name.startswith(PREFIX):
        return Path(name)
    opened = store()
    return _folder(opened, champion_of(opened, name.removeprefix(PREFIX)))


def bundle_of(store: Store, champion: Manifest) -> Bundle:
    """The bundle of a champion. Raises `DamagedError` where its list is damaged."""
    return Bundle.open(_folder(store, champion))


def _folder(store: Store, champion: Manifest) -> Path:
    """In a local store where the bundle lies, else a copy in the cache."""
    if store.is_local:
        return Path(bundle_path(store, champion))
    target = store.cache / "champions" / champion.version
    if not is_bundle(target):
        try:
            _copy(store, champion, target)
        except GanError:
            if not is_bundle(target):  # else another process was quicker
                raise
    return target


def bundle_path(store: Store, champion: Manifest) -> str:
    """Where the bundle of a champion lies in its store: a folder, or a URL."""
    return store.address(store.file_path(champion, f"{BUNDLE}/{LIST}").removesuffix(f"/{LIST}"))


def _copy(store: Store, champion: Manifest, target: Path) -> None:
    with new_folder(target, LIST) as folder:
        for name in champion.files:
            path = folder / Path(name).relative_to(BUNDLE)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.local(champion, name), path)
