"""`evaluate`: measure an experiment's samples, or any images against any others."""

import argparse
import json
import os
from pathlib import Path

from gan_core.cli.options import command, existing_store, print_manifest, say, store_of
from gan_core.config import load_configs
from gan_core.errors import ConfigError
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.metrics import METRICS

# Options of the evaluation of any images.
OF_IMAGES = ("held_out", "save_statistics", "extractor", "metrics", "weights", "classifier", "image_size")


def add(commands) -> None:
    evaluate = command(
        commands, "evaluate", _evaluate, "measure an experiment's samples, or any images against any others"
    )
    evaluate.add_argument("experiment", nargs="?", help="an experiment whose samples were drawn")
    evaluate.add_argument(
        "--real",
        help="real images: DATASET/train or DATASET/test, whose statistics the store holds; or a folder, "
        "archive, shards (train-*.tar), array (.npy, .npz), or statistics (.npz with mu and sigma)",
    )
    evaluate.add_argument("--fake", help="folder, archive, shards or array of generated images")
    evaluate.add_argument("--held-out", help="real images that were not trained on, for metrics of both")
    evaluate.add_argument(
        "--save-statistics", type=Path, help="write the real images' mean and covariance to this .npz file"
    )
    evaluate.add_argument(
        "--extractor", choices=list(EXTRACTORS), help="default: the dataset's first one, or inception"
    )
    evaluate.add_argument("--metrics", help=f"a choice of {','.join(METRICS)} (default: all that apply)")
    evaluate.add_argument("--weights", help="the extractor's weights, where they are not downloaded")
    evaluate.add_argument(
        "--classifier", help="the dataset whose classifier the store holds, or a classifier.safetensors"
    )
    evaluate.add_argument("--image-size", type=int, help="bring images of different sizes to this one")


def _evaluate(options: argparse.Namespace) -> None:
    if bool(options.experiment) == bool(options.real or options.fake):
        raise ConfigError("evaluate needs an experiment's name, or --real and --fake")
    if options.experiment:
        _refuse_options_of_images(options)
        _evaluate_experiment(options)
    elif not (options.real and (options.fake or options.save_statistics)):
        raise ConfigError("evaluate needs both --real and --fake: folders, archives or shards of images")
    else:
        _evaluate_images(options)


def _refuse_options_of_images(options: argparse.Namespace) -> None:
    for name in OF_IMAGES:
        if getattr(options, name) is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} goes with --real and --fake: an experiment is measured as the "
                "section `evaluation` of its dataset's file says"
            )


def _evaluate_experiment(options: argparse.Namespace) -> None:
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.evaluate import evaluate_samples
    from gan_core.evaluation.reference import compute_reference_statistics

    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), existing_store(options)
    dataset = configs.datasets[experiment.dataset]
    shards = store.require("image_shards", dataset.name)
    samples = store.require("samples", experiment.name)
    classifier = train_classifier(store, dataset, shards)
    reference = compute_reference_statistics(store, dataset, shards, classifier)
    print_manifest(
        store, evaluate_samples(store, dataset, samples, reference, classifier, force=options.force)
    )


def _evaluate_images(options: argparse.Namespace) -> None:
    from gan_core.evaluation.evaluate_paths import evaluate_paths, save_statistics

    store, real = store_of(options), options.real
    split = _named_split(options)
    if options.store or split or options.classifier:
        store = existing_store(options)
    if split:
        from gan_core.evaluation.inputs.splits import stored_split

        real = stored_split(options.real, store, load_configs(options.configs))
    classifier = options.classifier
    if classifier and not _is_path(classifier):
        classifier = store.require("classifier", classifier)
    how = {
        "extractor": options.extractor,
        "weights": options.weights,
        "store": store,
        "classifier": classifier,
        "image_size": options.image_size,
    }
    result = {}
    if options.save_statistics:
        result |= save_statistics(real, options.save_statistics, **how)
    if options.fake:
        metrics = options.metrics and [name.strip() for name in options.metrics.split(",") if name.strip()]
        result |= evaluate_paths(real, options.fake, held_out=options.held_out, metrics=metrics, **how)
    say(json.dumps(result, indent=1))


def _named_split(options: argparse.Namespace) -> bool:
    """Whether `--real` has the form DATASET/train or DATASET/test, and the dataset is one of ours."""
    dataset, _, split = options.real.partition("/")
    if split not in ("train", "test"):
        return False
    try:
        return dataset in load_configs(options.configs).datasets
    except ConfigError:
        if os.path.exists(options.real):
            return False  # images can be measured without any configuration
        raise


def _is_path(text: str) -> bool:
    return text.endswith(".safetensors") or os.sep in text
