"""`verify`: whether a bundle's bytes, images and figures are what it says."""

import sys
from typing import Annotated

import typer

from gan_core.cli.options import add_command, existing_store
from gan_core.cli.output import say_json
from gan_core.errors import StoreError


def add(app: typer.Typer) -> None:
    add_command(app, "verify", verify)


def verify(
    bundle: Annotated[str, typer.Argument(help="A folder that `export` wrote, or champion:DATASET.")],
    images: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="PLACE",
            help="A store that holds the shards of the dataset: figures are measured against these images, "
            "and not against the statistics in the bundle. The champion, too, is that of this store.",
        ),
    ] = None,
) -> int:
    """Check a bundle: every byte, the samples drawn again, every figure measured again; exit status 0 where
    all agree, 1 where something does not."""
    from gan_core.bundles.table import table_text
    from gan_core.bundles.verify import verify_bundle
    from gan_core.champions.address import place_of
    from gan_core.store import Store

    store = Store(images) if images else None
    if store is not None and not store.list_names("image_shards"):
        raise StoreError(
            f"there are no shards in {store.url}: make them with `python -m gan_core shard DATASET --configs "
            f"{bundle}/configs --store {images}`"
        )
    result = verify_bundle(place_of(bundle, lambda: existing_store(images)), store)
    print(table_text(result), file=sys.stderr)
    say_json(result.record())
    return 0 if result.agrees else 1
