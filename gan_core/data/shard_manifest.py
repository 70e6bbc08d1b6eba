"""What the manifest of `image_shards` says of a dataset's shards. Imports no torch."""

from gan_core.data.decoding import ShardFormat
from gan_core.errors import StoreError
from gan_core.remedies import how_to_make
from gan_core.store import Manifest


def image_shape(shards: Manifest) -> tuple[int, int, int]:
    """(C, H, W) of every image."""
    size = shards.details["image_size"]
    return shards.details["channels"], size, size


def shard_format(shards: Manifest) -> ShardFormat:
    """What every image of these shards is."""
    return ShardFormat(shards.partition, image_shape(shards), len(shards.details["classes"] or ()))


def split_of(shards: Manifest, split: str) -> dict:
    """What the manifest says of a split: `images`, `shards`, `images_per_shard`, `classes`.

    Raises `StoreError` for one that is not there, and where the numbers do not belong together.
    """
    splits = shards.details["splits"]
    if split not in splits:
        raise StoreError(
            f"the shards of {shards.partition} have no split `{split}` (they have: {', '.join(splits)}): "
            f"add it to the dataset's `splits` and {how_to_make('image_shards', shards.partition)}"
        )
    described = splits[split]
    per_shard = described["images_per_shard"]
    if len(per_shard) != len(described["shards"]) or sum(per_shard) != described["images"]:
        raise StoreError(
            f"the manifest of image_shards/{shards.partition} says that the {split} split has "
            f"{described['images']:,} images in {len(described['shards']):,} shards, but lists "
            f"{sum(per_shard):,} in {len(per_shard):,}; "
            f"{how_to_make('image_shards', shards.partition, force=True)}"
        )
    return described
