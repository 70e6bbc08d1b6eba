"""`sample`: draw the samples of a trained experiment, or images of its generator to a place of the user's."""

import argparse
import json
from pathlib import Path

from gan_core.cli.options import command, existing_store, print_manifest, say
from gan_core.config import load_configs
from gan_core.errors import ConfigError

# What says how images are drawn to a place; the samples that are measured are drawn by the dataset's file.
OF_A_PLACE = ("count", "of_class", "seed", "truncation")


def add(commands) -> None:
    sample = command(
        commands,
        "sample",
        _sample,
        "draw the samples of a trained experiment that are measured; with --out, other images of its "
        "generator, also of a bundle",
    )
    sample.add_argument("experiment", help="a name in configs/experiments, or a bundle of `export`")
    sample.add_argument(
        "--out",
        type=Path,
        help="a folder of PNGs, a picture of a grid (*.png), or an animation of a walk (*.gif)",
    )
    sample.add_argument(
        "--count", type=int, help="images, or latents that a walk goes through (default: 100, of a walk 8)"
    )
    sample.add_argument(
        "--class", dest="of_class", metavar="NAME", help="this class only, of a conditional generator"
    )
    sample.add_argument("--seed", type=int, help="other images by another number (default: 0)")
    sample.add_argument(
        "--truncation",
        type=float,
        metavar="T",
        help="draw latent values beyond ±T again: more typical images, less variety (normal latents only)",
    )


def _sample(options: argparse.Namespace) -> None:
    if options.out:
        _draw(options)
        return
    given = [name for name in OF_A_PLACE if getattr(options, name) is not None]
    if given:
        option = given[0].removeprefix("of_")
        raise ConfigError(
            f"--{option} goes with --out, which says where to: the samples that are measured are drawn as "
            "the dataset's `evaluation` says"
        )
    _step(options)


def _step(options: argparse.Namespace) -> None:
    from gan_core.bundles.contents import is_bundle
    from gan_core.sampling import draw_samples

    if is_bundle(options.experiment):
        raise ConfigError(
            f"{options.experiment} is a bundle, which is not written to: say where to with --out"
        )
    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), existing_store(options)
    trained = store.require("trained_gan", experiment.name)
    dataset = configs.datasets[experiment.dataset]
    shards = store.require("image_shards", dataset.name)
    print_manifest(store, draw_samples(store, experiment, dataset, trained, shards, force=options.force))


def _draw(options: argparse.Namespace) -> None:
    from gan_core.bundles.contents import Bundle, is_bundle
    from gan_core.devices import default_device
    from gan_core.drawing import Wish, draw
    from gan_core.sampling import load_generator

    if is_bundle(options.experiment):
        bundle = Bundle.open(options.experiment)
        store, trained = bundle.store, bundle.manifest("trained_gan")
    else:
        store = existing_store(options)
        trained = store.require("trained_gan", options.experiment)
    generator = load_generator(store, trained, device=default_device())
    wish = Wish(options.count, options.seed or 0, options.of_class, options.truncation)
    classes = trained.details.get("classes") or []
    say(json.dumps(draw(generator, classes, wish, options.out, force=options.force), indent=1))
