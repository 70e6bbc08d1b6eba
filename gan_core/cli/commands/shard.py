"""`shard`: a dataset's images as WebDataset shards."""

from typing import Annotated

import typer

from gan_core.cli.options import (
    ConfigsFolder,
    DatasetName,
    Force,
    StorePlace,
    add_command,
    print_manifest,
    store_of,
)


def add(app: typer.Typer) -> None:
    add_command(app, "shard", shard)


def shard(
    dataset: DatasetName,
    train: Annotated[
        str | None,
        typer.Option(help="Where the train split or the whole source is, if not as configured."),
    ] = None,
    test: Annotated[str | None, typer.Option(help="Where the test split is.")] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Collect a dataset's images and write WebDataset shards."""
    from gan_core.config import load_configs
    from gan_core.data.duplicates import find_duplicates
    from gan_core.data.raw import collect_raw_images
    from gan_core.data.shards import write_image_shards

    chosen, place = load_configs(configs).dataset(dataset), store_of(store)
    given = {split: location for split, location in (("train", train), ("test", test)) if location}
    raw = collect_raw_images(place, chosen, locations=given, force=force)
    found = None
    if chosen.deduplicate is not None:
        found = find_duplicates(place, chosen, raw, force=force)
    print_manifest(place, write_image_shards(place, chosen, raw, found, force=force))
