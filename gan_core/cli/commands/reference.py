"""`reference`: a dataset's classifier and reference statistics."""

import typer

from gan_core.cli.options import (
    ConfigsFolder,
    DatasetName,
    Force,
    StorePlace,
    add_command,
    existing_store,
    print_manifest,
)


def add(app: typer.Typer) -> None:
    add_command(app, "reference", reference)


def reference(
    dataset: DatasetName, store: StorePlace = None, configs: ConfigsFolder = None, force: Force = False
) -> None:
    """Train a dataset's classifier and compute what FID compares with."""
    from gan_core.config import load_configs
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.reference import compute_reference_statistics

    chosen, place = load_configs(configs).dataset(dataset), existing_store(store)
    shards = place.require("image_shards", chosen.name)
    classifier = train_classifier(place, chosen, shards, force=force)
    print_manifest(place, compute_reference_statistics(place, chosen, shards, classifier, force=force))
