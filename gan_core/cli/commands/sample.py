"""`sample`: draw the samples of a trained experiment."""

import argparse

from gan_core.cli.options import command, existing_store, print_manifest
from gan_core.config import load_configs


def add(commands) -> None:
    sample = command(commands, "sample", _sample, "draw the samples of a trained experiment")
    sample.add_argument("experiment")


def _sample(options: argparse.Namespace) -> None:
    from gan_core.sampling import draw_samples

    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), existing_store(options)
    trained = store.require("trained_gan", experiment.name)
    dataset = configs.datasets[experiment.dataset]
    shards = store.require("image_shards", dataset.name)
    print_manifest(store, draw_samples(store, experiment, dataset, trained, shards, force=options.force))
