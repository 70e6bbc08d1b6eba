"""Whether a store holds the images that a bundle's figures stand on."""

from collections import Counter
from collections.abc import Callable

from gan_core.bundles.contents import Bundle
from gan_core.data.inventory import InventoryRow
from gan_core.data.raw import read_inventory
from gan_core.store import Manifest, Store


def other_data(bundle: Bundle, store: Store, shards: Manifest, emit: Callable[[str], None]) -> list[str]:
    """In what the images of these shards of a store differ from the bundle's, in words; empty where they are
    the same bytes.

    Two inventories are compared image by image, by content, class and split.
    """
    listed = bundle.manifest("image_shards")
    if listed.version == shards.version:
        return []
    raw = bundle.manifest("raw_images")
    here = store.read_manifest("raw_images", shards.partition, shards.inputs.get("raw_images", ""))
    if here is None:
        return [f"other shards of {shards.partition}, and {store.url} no longer says of which images"]
    if here.config.get("content") != raw.config.get("content"):
        emit(f"comparing the inventories of {shards.partition}")
        return [_images_in_words(_counted(bundle.store, raw), _counted(store, here), shards.partition)]
    changed = [
        f"{key} {listed.config.get(key)} was recorded, here it is {shards.config.get(key)}"
        for key in sorted(listed.config.keys() | shards.config.keys())
        if listed.config.get(key) != shards.config.get(key)
    ]
    reason = "; ".join(changed) or "they were decoded or resized to other pixels, as another Pillow does"
    return [f"the same images of {shards.partition} in other shards: {reason}"]


def _counted(store: Store, raw: Manifest) -> Counter:
    return Counter(_key(row) for row in read_inventory(store, raw))


def _key(row: InventoryRow) -> tuple[str, str | None, bytes]:
    return row.split, row.class_name, bytes.fromhex(row.sha256)


def _images_in_words(recorded: Counter, here: Counter, name: str) -> str:
    missing, added = (recorded - here).total(), (here - recorded).total()
    return (
        f"another dataset: of {recorded.total():,} images of {name}, {missing:,} are not in this store (by "
        f"content, class and split), which has {added:,} others"
    )
