"""`shard`: a dataset's images as WebDataset shards."""

import argparse

from gan_core.cli.options import command, print_manifest, store_of
from gan_core.config import load_configs


def add(commands) -> None:
    shard = command(commands, "shard", _shard, "collect a dataset's images and write WebDataset shards")
    shard.add_argument("dataset", help="a name in configs/datasets")
    shard.add_argument("--train", help="where the train split or the whole source is, if not as configured")
    shard.add_argument("--test", help="where the test split is")


def _shard(options: argparse.Namespace) -> None:
    from gan_core.data.duplicates import find_duplicates
    from gan_core.data.raw import collect_raw_images
    from gan_core.data.shards import write_image_shards

    configs = load_configs(options.configs)
    dataset, store = configs.dataset(options.dataset), store_of(options)
    given = {split: getattr(options, split) for split in ("train", "test") if getattr(options, split)}
    raw = collect_raw_images(store, dataset, locations=given, force=options.force)
    found = None
    if dataset.deduplicate is not None:
        found = find_duplicates(store, dataset, raw, force=options.force)
    print_manifest(store, write_image_shards(store, dataset, raw, found, force=options.force))
