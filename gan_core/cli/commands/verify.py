"""`verify`: whether a bundle's bytes, images and figures are what it says."""

import argparse
import json
import sys
from pathlib import Path

from gan_core.cli.options import say
from gan_core.errors import StoreError


def add(commands) -> None:
    description = (
        "check a bundle: every byte, the samples drawn again, every figure measured again; exit status 0 "
        "where all agree, 1 where something does not"
    )
    verify = commands.add_parser("verify", help=description, description=description)
    verify.add_argument("bundle", type=Path, help="a folder that `export` wrote")
    verify.add_argument(
        "--store",
        dest="images",
        help="a store that holds the shards of the dataset: figures are measured against these images, and "
        "not against the statistics in the bundle",
    )
    verify.set_defaults(run=_verify, configs=None)


def _verify(options: argparse.Namespace) -> int:
    from gan_core.bundles.table import table_text
    from gan_core.bundles.verify import verify_bundle
    from gan_core.store import Store

    store = Store(options.images) if options.images else None
    if store is not None and not store.list_names("image_shards"):
        raise StoreError(
            f"there are no shards in {store.url}: make them with `python -m gan_core shard DATASET --configs "
            f"{options.bundle}/configs --store {options.images}`"
        )
    result = verify_bundle(options.bundle, store)
    print(table_text(result), file=sys.stderr)
    say(json.dumps(result.record(), indent=1))
    return 0 if result.agrees else 1
