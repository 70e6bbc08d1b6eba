"""`python -m gan_core shard | train | sample | evaluate | report`: every step without Dagster.

The steps and the store are the ones that the Dagster assets use: what one made, the other finds.
"""

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path

from gan_core.config import Configs, Dataset, Experiment, load_configs
from gan_core.errors import ConfigError, GanError
from gan_core.store import Manifest, Store, default_store


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit status 0, 2 with one line on standard error for an error of the user's, or 130
    after SIGINT or SIGTERM, when a training has saved a checkpoint."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what clusters send: stop as for Ctrl-C
    try:
        options.run(options)
    except GanError as error:
        print(f"{_process()}{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # what is left to do is to end
        print(f"{_process()}stopped; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0


def _process() -> str:
    """Which process speaks, of several that torchrun started."""
    return f"process {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gan_core", description="Train and measure GANs.")
    commands = parser.add_subparsers(dest="command", required=True)

    shard = _command(commands, "shard", _shard, "collect a dataset's images and write WebDataset shards")
    shard.add_argument("dataset", help="a name in configs/datasets")
    shard.add_argument("--train", help="where the train split or the whole source is, if not as configured")
    shard.add_argument("--test", help="where the test split is")

    train = _command(commands, "train", _train, "train an experiment from its dataset's shards")
    train.add_argument("experiment", help="a name in configs/experiments")
    train.add_argument("--device", choices=["cpu", "cuda"], help="by default a GPU where there is one")

    sample = _command(commands, "sample", _sample, "draw the samples of a trained experiment")
    sample.add_argument("experiment")

    evaluate = _command(
        commands, "evaluate", _evaluate, "measure an experiment's samples, or any images against any others"
    )
    evaluate.add_argument("experiment", nargs="?", help="an experiment whose samples were drawn")
    evaluate.add_argument("--real", help="folder, archive or shards (train-*.tar) of real images")
    evaluate.add_argument("--fake", help="folder, archive or shards of generated images")
    evaluate.add_argument("--extractor", choices=["inception", "classifier"], default="inception")
    evaluate.add_argument("--metrics", default="fid,kid,is", help="a choice of fid,kid,is (default: all)")
    evaluate.add_argument("--weights", help="the Inception weights, where they are not downloaded")
    evaluate.add_argument("--classifier", help="the dataset whose classifier the store holds")
    evaluate.add_argument("--image-size", type=int, help="bring images of different sizes to this one")

    _command(commands, "report", _report, "make the leaderboard and the report from what the store holds")
    return parser


def _command(commands, name: str, run, description: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=description, description=description)
    command.add_argument("--store", help="the artefact store (default: GAN_STORE, else ./store)")
    command.add_argument("--configs", type=Path, help="the folder of YAML files (default: GAN_CONFIGS)")
    command.add_argument("--force", action="store_true", help="make it again even if it is there")
    command.set_defaults(run=run)
    return command


def _shard(options: argparse.Namespace) -> None:
    from gan_core.data.raw import collect_raw_images
    from gan_core.data.shards import write_image_shards

    store, configs = _open(options)
    dataset = _dataset(configs, options.dataset)
    given = {split: getattr(options, split) for split in ("train", "test") if getattr(options, split)}
    raw = collect_raw_images(store, dataset, locations=given, force=options.force)
    _print(store, write_image_shards(store, dataset, raw, force=options.force))


def _train(options: argparse.Namespace) -> None:
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.training import train_gan
    from gan_core.training.torchrun import joined

    store, configs = _open(options)
    experiment = _experiment(configs, options.experiment)
    shards = store.require("image_shards", experiment.dataset)
    dataset = configs.datasets[experiment.dataset]
    with joined(options.device) as ranks:
        classifier = ranks.of_first(ranks.is_first and train_classifier(store, dataset, shards))
        manifest = train_gan(
            store,
            experiment,
            dataset,
            shards,
            classifier,
            force=options.force,
            device=options.device,
            ranks=ranks,
        )
    if manifest:
        _print(store, manifest)


def _sample(options: argparse.Namespace) -> None:
    from gan_core.sampling import draw_samples

    store, configs = _open(options)
    experiment = _experiment(configs, options.experiment)
    trained = store.require("trained_gan", experiment.name)
    dataset = configs.datasets[experiment.dataset]
    _print(store, draw_samples(store, experiment, dataset, trained, force=options.force))


def _evaluate(options: argparse.Namespace) -> None:
    if bool(options.experiment) == bool(options.real or options.fake):
        raise ConfigError("evaluate needs an experiment's name, or --real and --fake")
    if options.experiment:
        _evaluate_experiment(options)
    elif not (options.real and options.fake):
        raise ConfigError("evaluate needs both --real and --fake: folders, archives or shards of images")
    else:
        _evaluate_images(options)


def _evaluate_experiment(options: argparse.Namespace) -> None:
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.evaluate import evaluate_samples
    from gan_core.evaluation.reference import compute_reference_statistics

    store, configs = _open(options)
    experiment = _experiment(configs, options.experiment)
    dataset = configs.datasets[experiment.dataset]
    shards = store.require("image_shards", dataset.name)
    samples = store.require("samples", experiment.name)
    classifier = train_classifier(store, dataset, shards)
    reference = compute_reference_statistics(store, dataset, shards, classifier)
    _print(store, evaluate_samples(store, dataset, samples, reference, classifier, force=options.force))


def _evaluate_images(options: argparse.Namespace) -> None:
    from gan_core.evaluation.evaluate import evaluate_paths

    classifier = None
    store = _store(options)
    if options.classifier:
        classifier = store.require("classifier", options.classifier)
    result = evaluate_paths(
        options.real,
        options.fake,
        extractor=options.extractor,
        metrics=[name.strip() for name in options.metrics.split(",") if name.strip()],
        weights=options.weights,
        store=store,
        classifier=classifier,
        image_size=options.image_size,
    )
    print(json.dumps(result, indent=1))


def _report(options: argparse.Namespace) -> None:
    from gan_core.report.leaderboard import build_leaderboard
    from gan_core.report.report import build_report

    store, configs = _open(options)
    of = {
        asset: store.all_current(asset, names)
        for asset, names in {
            "trained_gan": configs.experiments,
            "samples": configs.experiments,
            "evaluation": configs.experiments,
            "reference_statistics": configs.datasets,
            "classifier": configs.datasets,
        }.items()
    }
    leaderboard = build_leaderboard(
        store, configs.experiments, of["trained_gan"], of["evaluation"], force=options.force
    )
    report = build_report(
        store,
        configs,
        leaderboard,
        of["trained_gan"],
        of["samples"],
        of["evaluation"],
        of["reference_statistics"],
        of["classifier"],
        force=options.force,
    )
    _print(store, report)


def _store(options: argparse.Namespace) -> Store:
    return Store(options.store) if options.store else default_store()


def _open(options: argparse.Namespace) -> tuple[Store, Configs]:
    return _store(options), load_configs(options.configs)


def _dataset(configs: Configs, name: str) -> Dataset:
    return configs.dataset(name)


def _experiment(configs: Configs, name: str) -> Experiment:
    return configs.experiment(name)


def _print(store: Store, manifest: Manifest) -> None:
    """What was made and where, as JSON on standard output."""
    folder = store.address(store.folder(manifest.asset, manifest.partition, manifest.fingerprint))
    print(json.dumps({"path": folder, "reused": manifest.reused, "figures": manifest.figures}, indent=1))
