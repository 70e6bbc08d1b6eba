"""`reference`: a dataset's classifier and reference statistics."""

import argparse

from gan_core.cli.options import command, existing_store, print_manifest
from gan_core.config import load_configs


def add(commands) -> None:
    reference = command(
        commands, "reference", _reference, "train a dataset's classifier and compute what FID compares with"
    )
    reference.add_argument("dataset")


def _reference(options: argparse.Namespace) -> None:
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.reference import compute_reference_statistics

    configs = load_configs(options.configs)
    dataset, store = configs.dataset(options.dataset), existing_store(options)
    shards = store.require("image_shards", dataset.name)
    classifier = train_classifier(store, dataset, shards, force=options.force)
    print_manifest(
        store, compute_reference_statistics(store, dataset, shards, classifier, force=options.force)
    )
