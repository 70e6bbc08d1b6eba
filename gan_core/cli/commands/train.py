"""`train`: train an experiment, in one process or several."""

import logging
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gan_core.cli.options import (
    ConfigsFolder,
    ExperimentName,
    Force,
    StorePlace,
    add_command,
    existing_store,
    print_manifest,
)
from gan_core.device_leases import environment_of, leased_devices
from gan_core.training.processes.launch import PROCESSES, is_rank, number_of_processes, run_ranks

if TYPE_CHECKING:
    from gan_core.store import Store
    from gan_core.training.task import TrainingTask

logger = logging.getLogger("gan_core")


def add(app: typer.Typer) -> None:
    add_command(app, "train", train)


def train(
    experiment: ExperimentName,
    processes: Annotated[
        int | None,
        typer.Option(
            help="Processes of this machine that train together, each on a GPU of its own where there are "
            f"GPUs (default: {PROCESSES}, else 1)."
        ),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda", "mps"] | None, typer.Option(help="By default a GPU where there is one.")
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Train an experiment from its dataset's shards."""
    from gan_core.config import load_configs
    from gan_core.training.task import TrainingTask

    known = load_configs(configs)
    chosen, place = known.experiment(experiment), existing_store(store)
    task = TrainingTask(
        experiment=chosen,
        dataset=known.datasets[chosen.dataset],
        shards=place.require("image_shards", chosen.dataset),
        force=force,
        device=device,
    )
    count = 1 if is_rank() else number_of_processes(processes)
    if count == 1:
        _train_here(place, task)
        return
    given = {"store": store, "configs": configs, "device": device}
    options = [f"--{name}={value}" for name, value in given.items() if value]
    _train_together(place, task, count, [*options, *(["--force"] if force else [])])


def _train_here(store: "Store", task: "TrainingTask") -> None:
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


def _train_together(store: "Store", task: "TrainingTask", processes: int, options: list[str]) -> None:
    """In processes of which the first prints what was made; the classifier is made before they begin."""
    from gan_core import steps

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
    name = task.experiment.name
    command = ["-m", "gan_core", "train", name, *options]
    if task.device == "cpu":
        run_ranks(name, command, processes)
        return
    with leased_devices(processes, f"trained_gan of `{name}`", logger.info) as devices:
        run_ranks(name, command, processes, environment_of(devices))
