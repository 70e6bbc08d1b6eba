"""`gan-core shard | train | sample | evaluate | report | …`: every step without Dagster.

Where the package is not installed, in a clone, the same is `python -m gan_core`.

The steps and the store are the ones that the Dagster assets use: what one made, the other finds.
"""

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import sys
import tomllib
from pathlib import Path
from typing import get_args

from gan_core import signals, steps
from gan_core.config import default_config_folder, load_configs
from gan_core.config.datasets import LabelPolicy
from gan_core.disks import disk_error
from gan_core.errors import ConfigError, GanError, StoreError
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.metrics import METRICS
from gan_core.places import checkout
from gan_core.secrets import HideSecrets, without_secrets
from gan_core.store import Manifest, Store, default_store
from gan_core.training.processes.launch import (
    PROCESSES,
    is_rank,
    leave_word,
    number_of_processes,
    run_ranks,
    was_launched,
)
from gan_core.training.task import TrainingTask
from gan_core.versions import CODE_VERSIONS

DISTRIBUTION = "gan-pipelines"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit status 0, 2 with one line on standard error for an error of the user's, or 128
    and the signal's number after SIGINT, SIGTERM or SIGHUP, when a training has saved a checkpoint."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("gan_core").setLevel(logging.INFO)  # torch has more to say, even after the last line
    for handler in logging.getLogger().handlers:
        handler.addFilter(HideSecrets())
    stop = signals.Stop()
    stop.listen()
    try:
        options.run(options)
    except GanError as error:
        return _refused(error)
    except KeyboardInterrupt as interrupt:
        signals.stopping.set()
        notes = [f"{note}; " for note in getattr(interrupt, "__notes__", [])]
        _end_with(interrupt, f"{''.join(notes)}stopped; the same command goes on where this one stopped")
        signals.end(stop.status)
        return stop.status
    except Exception as error:
        told = disk_error(error, _places(options))
        if told is not None:
            return _refused(told)
        bug = without_secrets(error)  # its traceback is printed
    else:
        return 0
    finally:
        signals.ignore_at_exit()
    raise bug


def _refused(error: GanError) -> int:
    _end_with(error, f"{type(error).__name__}: {error}")
    signals.end(2)
    return 2


def _end_with(error: BaseException, line: str) -> None:
    """The last words of this process, or of one that trains with others."""
    if was_launched():
        leave_word(error)
        return
    process = f"process {os.environ['RANK']}: " if is_rank() else ""
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"{process}{line}", file=sys.stderr)


def _places(options: argparse.Namespace) -> dict[str, str | os.PathLike]:
    """The folders that a command writes to, by the variable that names another."""
    stores = _store(options).local_places if hasattr(options, "store") else {}
    return {**stores, "GAN_CONFIGS": options.configs or default_config_folder()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gan-core", description="Train and measure GANs.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    commands = parser.add_subparsers(dest="command", required=True)

    new = commands.add_parser("new", help="write a commented configuration to begin with")
    kinds = new.add_subparsers(dest="kind", required=True)
    for kind in ("dataset", "experiment"):
        starter = kinds.add_parser(kind, help=f"write configs/{kind}s/NAME.yaml")
        starter.add_argument("name")
        if kind == "experiment":
            starter.add_argument("--dataset", default="digits", help="what it trains on (default: digits)")
        _configs_option(starter)
        starter.set_defaults(run=_new)

    shard = _command(commands, "shard", _shard, "collect a dataset's images and write WebDataset shards")
    shard.add_argument("dataset", help="a name in configs/datasets")
    shard.add_argument("--train", help="where the train split or the whole source is, if not as configured")
    shard.add_argument("--test", help="where the test split is")

    reference = _command(
        commands, "reference", _reference, "train a dataset's classifier and compute what FID compares with"
    )
    reference.add_argument("dataset")

    train = _command(commands, "train", _train, "train an experiment from its dataset's shards")
    train.add_argument("experiment", help="a name in configs/experiments")
    train.add_argument(
        "--processes",
        type=int,
        help=f"processes of this machine that train together, each on a GPU of its own where there are GPUs "
        f"(default: {PROCESSES}, else 1)",
    )
    train.add_argument("--device", choices=["cpu", "cuda"], help="by default a GPU where there is one")

    sample = _command(commands, "sample", _sample, "draw the samples of a trained experiment")
    sample.add_argument("experiment")

    evaluate = _command(
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

    leaderboard = commands.add_parser("leaderboard", help="rows of samples from elsewhere")
    rows = leaderboard.add_subparsers(dest="rows", required=True)
    add = _command(rows, "add", _add_row, "measure images from elsewhere and give them a row")
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
    remove = _command(rows, "remove", _remove_row, "take such a row off the leaderboard")
    remove.add_argument("name")

    _command(commands, "report", _report, "make the leaderboard and the report from what the store holds")
    return parser


def _command(commands, name: str, run, description: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=description, description=description)
    store = "GAN_STORE, else `store` in the clone, else in the current folder"
    command.add_argument("--store", help=f"the artefact store (default: {store})")
    _configs_option(command)
    command.add_argument("--force", action="store_true", help="make it again even if it is there")
    command.set_defaults(run=run)
    return command


def _configs_option(command: argparse.ArgumentParser) -> None:
    configs = "GAN_CONFIGS, else `configs` in the clone, else in the current folder"
    command.add_argument("--configs", type=Path, help=f"the folder of YAML files (default: {configs})")


def version() -> str:
    """The version of this checkout, else of the installed package."""
    place = checkout()
    if place:
        return tomllib.loads((place / "pyproject.toml").read_text())["project"]["version"]
    return importlib.metadata.version(DISTRIBUTION)


def _new(options: argparse.Namespace) -> None:
    from gan_core.config.starters import write_starter

    folder = options.configs or default_config_folder()
    dataset = {"dataset": options.dataset} if options.kind == "experiment" else {}
    path = write_starter(options.kind, options.name, folder, **dataset)
    _say(f"{path} is written: read it, change what is different, and run the next command")


def _shard(options: argparse.Namespace) -> None:
    from gan_core.data.raw import collect_raw_images
    from gan_core.data.shards import write_image_shards

    configs = load_configs(options.configs)
    dataset, store = configs.dataset(options.dataset), _store(options)
    given = {split: getattr(options, split) for split in ("train", "test") if getattr(options, split)}
    raw = collect_raw_images(store, dataset, locations=given, force=options.force)
    _print(store, write_image_shards(store, dataset, raw, force=options.force))


def _reference(options: argparse.Namespace) -> None:
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.reference import compute_reference_statistics

    configs = load_configs(options.configs)
    dataset, store = configs.dataset(options.dataset), _existing_store(options)
    shards = store.require("image_shards", dataset.name)
    classifier = train_classifier(store, dataset, shards, force=options.force)
    _print(store, compute_reference_statistics(store, dataset, shards, classifier, force=options.force))


def _train(options: argparse.Namespace) -> None:
    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), _existing_store(options)
    shards = store.require("image_shards", experiment.dataset)
    dataset = configs.datasets[experiment.dataset]
    task = TrainingTask(
        experiment=experiment, dataset=dataset, shards=shards, force=options.force, device=options.device
    )
    processes = 1 if is_rank() else number_of_processes(options.processes)
    if processes > 1:
        _train_together(options, store, task, processes)
    else:
        _train_here(store, task)


def _train_here(store: Store, task: TrainingTask) -> None:
    """In this process, which may be one of several."""
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.training.processes.joining import joined
    from gan_core.training.train import run_training

    with joined(task.device) as ranks:
        classifier = ranks.of_first(ranks.is_first and train_classifier(store, task.dataset, task.shards))
        task = task.model_copy(update={"classifier": classifier})
        manifest = run_training(store, task, ranks=ranks)
    if manifest:
        _print(store, manifest)


def _train_together(options: argparse.Namespace, store: Store, task: TrainingTask, processes: int) -> None:
    """In processes of which the first prints what was made; the classifier is made before they begin."""
    step = steps.classifier(task.dataset, task.shards)
    classifier = step.reuse(store)
    if classifier is None:
        from gan_core.evaluation.classifier import train_classifier

        classifier = train_classifier(store, task.dataset, task.shards)
    task = task.model_copy(update={"classifier": classifier})
    task.check(processes)
    if not task.force and (found := task.step.reuse(store)):
        _print(store, found)
        return
    given = {name: getattr(options, name) for name in ("store", "configs", "device")}
    places = [f"--{name}={value}" for name, value in given.items() if value]
    force = ["--force"] if options.force else []
    name = task.experiment.name
    run_ranks(name, ["-m", "gan_core", "train", name, *places, *force], processes)


def _sample(options: argparse.Namespace) -> None:
    from gan_core.sampling import draw_samples

    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), _existing_store(options)
    trained = store.require("trained_gan", experiment.name)
    dataset = configs.datasets[experiment.dataset]
    shards = store.require("image_shards", dataset.name)
    _print(store, draw_samples(store, experiment, dataset, trained, shards, force=options.force))


def _evaluate(options: argparse.Namespace) -> None:
    if bool(options.experiment) == bool(options.real or options.fake):
        raise ConfigError("evaluate needs an experiment's name, or --real and --fake")
    if options.experiment:
        _evaluate_experiment(options)
    elif not (options.real and (options.fake or options.save_statistics)):
        raise ConfigError("evaluate needs both --real and --fake: folders, archives or shards of images")
    else:
        _evaluate_images(options)


def _evaluate_experiment(options: argparse.Namespace) -> None:
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.evaluate import evaluate_samples
    from gan_core.evaluation.reference import compute_reference_statistics

    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), _existing_store(options)
    dataset = configs.datasets[experiment.dataset]
    shards = store.require("image_shards", dataset.name)
    samples = store.require("samples", experiment.name)
    classifier = train_classifier(store, dataset, shards)
    reference = compute_reference_statistics(store, dataset, shards, classifier)
    _print(store, evaluate_samples(store, dataset, samples, reference, classifier, force=options.force))


def _evaluate_images(options: argparse.Namespace) -> None:
    from gan_core.evaluation.evaluate_paths import evaluate_paths, save_statistics

    store, real = _store(options), options.real
    split = _named_split(options)
    if options.store or split or options.classifier:
        store = _existing_store(options)
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
    _say(json.dumps(result, indent=1))


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


def _add_row(options: argparse.Namespace) -> None:
    from gan_core.evaluation.external import evaluate_external
    from gan_core.evaluation.inputs.splits import stored_split

    configs, store = load_configs(options.configs), _existing_store(options)
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
    _print(store, made)


def _remove_row(options: argparse.Namespace) -> None:
    from gan_core.evaluation.external import ASSET, remove_external

    store = _existing_store(options)
    remove_external(store, options.name)
    _say(json.dumps({"removed": f"{ASSET}/{options.name}"}))


def _report(options: argparse.Namespace) -> None:
    from gan_core.evaluation.external import external_evaluations
    from gan_core.report.leaderboard import build_leaderboard
    from gan_core.report.report import build_report

    configs, store = load_configs(options.configs), _existing_store(options)
    unreadable: dict[str, str] = {}
    of = {
        asset: store.all_current(asset, names, unreadable)
        for asset, names in {
            "trained_gan": configs.experiments,
            "samples": configs.experiments,
            "evaluation": configs.experiments,
            "reference_statistics": configs.datasets,
            "classifier": configs.datasets,
        }.items()
    }
    leaderboard = build_leaderboard(
        store,
        configs.experiments,
        of["trained_gan"],
        of["evaluation"],
        external_evaluations(store, unreadable),
        unreadable=unreadable,
        force=options.force,
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
        unreadable=unreadable,
        force=options.force,
    )
    _print(store, report)


def _store(options: argparse.Namespace) -> Store:
    return Store(options.store) if options.store else default_store()


def _existing_store(options: argparse.Namespace) -> Store:
    """The store, where there is one: a command that reads it would make an empty one of a wrong name."""
    store = _store(options)
    if not any(store.reading.exists(f"{store.root}/{asset}") for asset in CODE_VERSIONS):
        raise StoreError(
            f"there is no store at {store.url}: name another place with --store or GAN_STORE, "
            "or make one with `python -m gan_core shard DATASET`"
        )
    return store


def _print(store: Store, manifest: Manifest) -> None:
    """What was made and where, as JSON on standard output."""
    folder = store.address(store.folder(manifest.asset, manifest.partition, manifest.fingerprint))
    figures = {**manifest.figures, **_verdict(store, manifest)}
    _say(json.dumps({"path": folder, "reused": manifest.reused, "figures": figures}, indent=1))


def _say(text: str) -> None:
    """Print it on standard output, which may be a file on a full disk, or closed."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left of it would fail once more, at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StoreError(
            f"standard output cannot be written: {error.strerror}; what was made is in its place: send the "
            "output of the same command elsewhere to read it"
        ) from error


def _verdict(store: Store, manifest: Manifest) -> dict[str, str]:
    """The verdict on a training as all tables show it: the guards' own does not see that it was too short."""
    from gan_core.report.verdicts import verdict_text

    if manifest.asset == "trained_gan":
        return {"verdict": verdict_text(manifest)}
    if manifest.asset == "evaluation":
        return {"verdict": verdict_text(store.current("trained_gan", manifest.partition), manifest)}
    return {}
