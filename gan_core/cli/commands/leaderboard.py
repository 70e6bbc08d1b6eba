"""`leaderboard`: rows of samples from elsewhere."""

import argparse
import json
from typing import get_args

from gan_core.cli.options import command, existing_store, print_manifest, say
from gan_core.config import load_configs
from gan_core.config.datasets import LabelPolicy
from gan_core.errors import ConfigError


def add(commands) -> None:
    leaderboard = commands.add_parser("leaderboard", help="rows of samples from elsewhere")
    rows = leaderboard.add_subparsers(dest="rows", required=True)
    add = command(rows, "add", _add_row, "measure images from elsewhere and give them a row")
    add.add_argument("name", help="the row's name")
    add.add_argument("place", help="folder, archive, shards or array of images")
    add.add_argument("--dataset", required=True, help="the dataset that they imitate")
    add.add_argument("--description", default="", help="which model they are of, and where it is published")
    add.add_argument("--image-size", type=int, help="bring images of another size to the dataset's")
    add.add_argument(
        "--labels",
        choices=get_args(LabelPolicy),
        help="how classes were asked for, where it is known (default: as the dataset says)",
    )
    remove = command(rows, "remove", _remove_row, "take such a row off the leaderboard")
    remove.add_argument("name")


def _add_row(options: argparse.Namespace) -> None:
    from gan_core.evaluation.external import evaluate_external
    from gan_core.evaluation.inputs.splits import stored_split

    configs, store = load_configs(options.configs), existing_store(options)
    dataset = configs.dataset(options.dataset)
    if options.name in configs.experiments:
        raise ConfigError(f"`{options.name}` is an experiment of yours: choose another name for the row")
    split = stored_split(f"{dataset.name}/train", store, configs)
    made = evaluate_external(
        store,
        dataset,
        options.name,
        options.place,
        reference=split.reference,
        classifier=split.classifier,
        description=options.description,
        image_size=options.image_size,
        labels=options.labels,
        force=options.force,
    )
    print_manifest(store, made)


def _remove_row(options: argparse.Namespace) -> None:
    from gan_core.evaluation.external import ASSET, remove_external

    store = existing_store(options)
    remove_external(store, options.name)
    say(json.dumps({"removed": f"{ASSET}/{options.name}"}))
