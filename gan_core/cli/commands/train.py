"""`train`: train an experiment, in one process or several."""

import argparse

from gan_core import steps
from gan_core.cli.options import command, existing_store, print_manifest
from gan_core.config import load_configs
from gan_core.store import Store
from gan_core.training.processes.launch import PROCESSES, is_rank, number_of_processes, run_ranks
from gan_core.training.task import TrainingTask


def add(commands) -> None:
    train = command(commands, "train", _train, "train an experiment from its dataset's shards")
    train.add_argument("experiment", help="a name in configs/experiments")
    train.add_argument(
        "--processes",
        type=int,
        help=f"processes of this machine that train together, each on a GPU of its own where there are GPUs "
        f"(default: {PROCESSES}, else 1)",
    )
    train.add_argument("--device", choices=["cpu", "cuda", "mps"], help="by default a GPU where there is one")


def _train(options: argparse.Namespace) -> None:
    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), existing_store(options)
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
        print_manifest(store, manifest)


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
        print_manifest(store, found)
        return
    given = {name: getattr(options, name) for name in ("store", "configs", "device")}
    places = [f"--{name}={value}" for name, value in given.items() if value]
    force = ["--force"] if options.force else []
    name = task.experiment.name
    run_ranks(name, ["-m", "gan_core", "train", name, *places, *force], processes)
