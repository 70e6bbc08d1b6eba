"""The step `trained_gan`: from a dataset's shards to a trained generator, resumable at any point."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from gan_core.config import Dataset, Experiment
from gan_core.data.feed import TrainingFeed, open_feed
from gan_core.device_leases import on_a_device
from gan_core.devices import check_device, training_device
from gan_core.errors import TrainingError
from gan_core.evaluation.classifier import load_classifier
from gan_core.evaluation.in_training import InTrainingEvaluation, read_real_images
from gan_core.numerics import MEASURING, training_numerics
from gan_core.remedies import how_to_make
from gan_core.steps import Step
from gan_core.store import Build, Manifest, Store
from gan_core.store.lease import Lease
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.critic_steps import generator_steps
from gan_core.training.engine import Engine
from gan_core.training.noise import stream_seed
from gan_core.training.precision import precision_in_words
from gan_core.training.processes.ranks import Ranks
from gan_core.training.records.conditions import CONDITIONS, conditions
from gan_core.training.records.listeners import Listeners, TrainingSnapshot, silent
from gan_core.training.records.memory import MEMORY, PeakMemory
from gan_core.training.records.results import weights_of, write_results
from gan_core.training.records.tensorboard import TensorBoardLog, tensorboard_folder
from gan_core.training.state import TrainingState
from gan_core.training.task import TrainingTask

logger = logging.getLogger("gan_core")
ASSET = "trained_gan"
# For another process that trains the same: longer than a silent one is believed in. It may be at it for days,
# while this one would keep a slot of the pool, and the other ranks, waiting.
WAIT_SECONDS = 80.0
LEFT_OF_THE_BEGINNING = 0.05  # a share of untrained weights in the average that is worth a warning


def train_gan(
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    shards: Manifest,
    classifier: Manifest | None = None,
    *,
    emit: Callable[[str], None] = logger.info,
    observe: Callable[[TrainingSnapshot], None] | None = None,
    ranks: Ranks | None = None,
    **options: Any,
) -> Manifest | None:
    """Train `experiment` on the train split of `shards`, or go on from its newest good checkpoint.

    `options` are the others of `TrainingTask`: `force`, `device`, `memory_limit_bytes`, `observe_interval`.
    `emit` and `observe` are described at `Listeners`, what is made and raised at `run_training`.
    """
    task = TrainingTask(
        experiment=experiment, dataset=dataset, shards=shards, classifier=classifier, **options
    )
    return run_training(store, task, emit=emit, observe=observe, ranks=ranks)


def run_training(
    store: Store,
    task: TrainingTask,
    *,
    emit: Callable[[str], None] = logger.info,
    observe: Callable[[TrainingSnapshot], None] | None = None,
    ranks: Ranks | None = None,
) -> Manifest | None:
    """The artefact of a task, made or reused. Of several `ranks` the first makes it and speaks to `emit` and
    `observe`, and the others get None.

    An exception that reaches the calling thread (KeyboardInterrupt, Dagster's interrupt) is raised again once
    the last whole step is saved; the next run of the task goes on from there, forced or not.

    Files: generator.safetensors (the average where there is one; the best one where `publish` or a guard
    says so), discriminator.safetensors of the same moment, generator_best.safetensors,
    history.parquet, times.parquet (images_per_second and seconds, which do not count in the version),
    evaluations.parquet, progress.png, and of a run of more than an epoch first_epoch.png. Figures: verdict,
    images_seen, images_per_second (of the steps alone), d_loss, g_loss, seconds_training and, of those,
    seconds_evaluating, parameters_generator, parameters_discriminator, and of the in-training evaluation
    fid_in_training, fid_best, images_seen_best, diversity. Details: verdicts, stopped_by, published,
    first_epoch, peak_memory_bytes, conditions, precision, numerics (see `training_numerics`, and
    `cuda_graphs`), progress (see `describe_strip`).

    Raises `ConfigError` where the task and `ranks` do not fit together, and `TrainingError` for a loss that
    is not finite where there is no best to keep, for a checkpoint of another configuration, and where one of
    the ranks is gone, `LeaseError` where another process trains this experiment.
    """
    ranks = ranks or Ranks()
    task.check(ranks.size)
    listeners = Listeners(emit, observe, task.observe_interval)
    if not ranks.is_first:
        listeners = replace(listeners, emit=silent, observe=None)
    check_device(task.device, ranks.size)
    training = Training(store, task, ranks, listeners)
    if not ranks.is_first:
        training.follow()
        return None
    return training.lead()


@dataclass(frozen=True)
class Training:
    """One task by this process, alone or as one of several ranks."""

    store: Store
    task: TrainingTask
    ranks: Ranks
    listeners: Listeners

    @functools.cached_property
    def device(self) -> torch.device:
        """Known once this process has its GPU."""
        return training_device(self.task.device, self.ranks.size)

    @property
    def experiment(self) -> Experiment:
        return self.task.experiment

    @property
    def step(self) -> Step:
        return self.task.step

    @property
    def artefact(self) -> tuple[str, str, str]:
        """What is made, as store and lease name it: asset, partition and fingerprint."""
        return ASSET, self.experiment.name, self.step.fingerprint

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(
            self.store, *self.artefact, self.listeners.emit, keep=self.experiment.keep_checkpoints
        )

    def lead(self) -> Manifest:
        """Train and publish, unless the artefact is there; no other process does so meanwhile."""
        began = False
        reads = filter(None, (self.task.shards, self.task.classifier))
        with Lease(self.store, *self.artefact, self.listeners.emit, reads=reads, wait=WAIT_SECONDS) as lease:
            self._begin_again()

            def build(work: Build) -> None:
                nonlocal began
                began = self.ranks.of_first(True)
                with self._a_device():
                    self._train(lease.check, work)
                lease.check()

            manifest = self.step.make(self.store, build)
            if not began:
                self.ranks.of_first(False)
            return manifest

    def follow(self) -> None:
        """As another rank than the first: train if it does."""
        if self.ranks.of_first(None):
            self._train(lambda: None, None)

    def _a_device(self) -> contextlib.AbstractContextManager[None]:
        """A GPU of its own; several processes were given theirs by who started them."""
        if self.ranks.size > 1 or self.task.device in ("cpu", "mps"):
            return contextlib.nullcontext()
        return on_a_device(f"{ASSET} of `{self.experiment.name}`", self.listeners.emit)

    def _begin_again(self) -> None:
        """Where it is forced: what was trained before counts no longer, but for what a forced one has done
        that was stopped."""
        if self.store.is_begun_again(*self.artefact):
            self.listeners.emit(
                f"{ASSET} of `{self.experiment.name}` was begun again with force and not finished: this run "
                f"goes on with that; to begin at the beginning, remove {self.checkpoints.folder} first"
            )
        elif self.task.force:
            self.checkpoints.remove_all()
            self.store.begin_again(*self.artefact)

    def _train(self, still_ours: Callable[[], None], work: Build | None) -> None:
        memory = PeakMemory(self.device)
        state = self._fresh_state()
        checkpoints = self.checkpoints
        with self._feed() as feed:
            data = feed.describe()
            self._resume(state, checkpoints)
            with self._board(state) as board:
                engine = Engine(
                    state,
                    feed,
                    self.task.total_images,
                    checkpoints,
                    self.listeners,
                    evaluation=self._evaluation(),
                    board=board,
                    still_ours=still_ours,
                )
                self._say_precision()
                self._warn_about_average()
                engine.run()
        if work:
            write_results(engine, self._published(engine), self.task.shards, work)
            work.details |= {"data": data, MEMORY: memory.bytes(), "precision": state.precision}
            numerics = training_numerics(self.device) | {"cuda_graphs": engine.replays_graphs}
            work.details["numerics"] = numerics
            classifier = self.task.classifier
            work.details[CONDITIONS] = conditions(
                self.experiment,
                self.task.shards,
                classifier=classifier is not None,
                memory_limit_bytes=self.task.memory_limit_bytes,
            )
            work.details["in_training_classifier"] = classifier and classifier.version

    def _published(self, engine: Engine) -> dict:
        """The weights of both networks that the artefact has, of which moment they are, and why that one."""
        state, best = engine.state, engine.state.best
        if best and (self.experiment.publish == "best" or engine.stopped_by):
            return {**best, "which": "best"}
        if not engine.diverged:
            return {**weights_of(state), "which": "last"}
        good, which = self._fresh_state(), "untrained"
        saved = engine.checkpoints.load_newest()
        if saved:
            self._load(good, saved, engine.checkpoints)
            which = "checkpoint"
        return {**weights_of(good), "which": which}

    @contextlib.contextmanager
    def _feed(self) -> Iterator[TrainingFeed]:
        feed = open_feed(
            self.store,
            self.task.shards,
            "train",
            order_seed=self.experiment.seed,
            window=self.experiment.shuffle_window,
            batch_size=self.experiment.batch_size,
            labelled=self.experiment.conditional,
            device=self.device,
            rank=self.ranks.rank,
            world_size=self.ranks.size,
            memory_limit_bytes=self.task.memory_limit_bytes,
            emit=self.listeners.emit,
        )
        with contextlib.closing(feed):
            yield feed

    @contextlib.contextmanager
    def _board(self, state: TrainingState) -> Iterator[TensorBoardLog | None]:
        if not self.ranks.is_first:
            yield None
            return
        folder = tensorboard_folder(self.store, *self.artefact[1:])
        with contextlib.closing(TensorBoardLog(folder, state.images_seen)) as board:
            yield board

    def _evaluation(self) -> InTrainingEvaluation | None:
        if not self.ranks.is_first:
            return None
        real = read_real_images(self.store, self.task.shards, self.experiment.evaluation_samples)
        classifier = self.task.classifier
        extractor = load_classifier(self.store, classifier) if classifier else None
        if extractor is None:
            self.listeners.emit("no classifier was given: this run has no in-training FID")
        if len(real) < 2:
            return None
        with MEASURING.applied():
            return InTrainingEvaluation(real, extractor, stream_seed(self.experiment.seed, "evaluation"))

    def _fresh_state(self) -> TrainingState:
        return TrainingState(
            self.experiment,
            channels=self.task.shards.details["channels"],
            image_size=self.task.shards.details["image_size"],
            n_classes=len(self.task.shards.details["classes"] or ()),
            device=self.device,
            ranks=self.ranks,
        )

    def _resume(self, state: TrainingState, checkpoints: Checkpoints) -> None:
        classifier = self.task.classifier
        measure = f"{classifier and classifier.version} {self.experiment.evaluation_samples}"
        saved = checkpoints.load_newest()
        found = saved and saved["images_seen"]
        if self.ranks.any(found != self.ranks.of_first(found)):
            raise TrainingError(
                f"experiment `{self.experiment.name}`: not every process finds the same newest checkpoint in "
                f"{checkpoints.folder}: use a store that all hosts share"
            )
        if saved is not None:
            self._load(state, saved, checkpoints)
            self.listeners.emit(f"going on from {checkpoints.last}: {state.images_seen:,} images seen")
            # Earlier versions kept no precision: theirs was that of the experiment on CUDA, fp32 elsewhere.
            on_gpu = saved["noise_device"] == "cuda"
            before = saved.get("precision", self.experiment.precision if on_gpu else "fp32")
            if before != state.precision:
                self.listeners.emit(
                    f"the checkpoint was made in {before}, and this device takes {state.precision}: the run "
                    f"goes on in {state.precision}, and ends with other weights than it would have had there"
                )
            if saved["noise_device"] != state.device.type:
                self.listeners.emit(
                    f"the checkpoint was written on {saved['noise_device']}, this is {state.device.type}: "
                    "the run goes on with other random numbers than it would have had there"
                )
        if not state.measure_by(measure):
            self.listeners.emit(
                "the classifier or `evaluation_samples` has changed: the in-training FID begins anew"
            )

    def _load(self, state: TrainingState, saved: dict, checkpoints: Checkpoints) -> None:
        try:
            state.load_state_dict(saved)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            again = how_to_make(ASSET, self.experiment.name, force=True)
            raise TrainingError(
                f"{checkpoints.last} does not fit this experiment's networks and optimisers "
                f"({type(error).__name__}: {' '.join(str(error).split())[:300]}): remove it, or {again}"
            ) from error

    def _warn_about_average(self) -> None:
        if self.experiment.schedules.ema_half_life:
            return
        decay = self.experiment.averaging_decay
        key = "ema_decay" if self.experiment.ema_decay else "ema_half_life"
        steps = generator_steps(self.experiment, self.task.total_images // self.experiment.batch_size)
        if decay and decay**steps > LEFT_OF_THE_BEGINNING:
            self.listeners.emit(
                f"{key} {getattr(self.experiment, key)} is slow for the {steps:,} steps of G in this run: "
                f"{decay**steps:.0%} of the published average will be the weights from before training; "
                "use a smaller one"
            )

    def _say_precision(self) -> None:
        if line := precision_in_words(self.experiment, self.device):
            self.listeners.emit(line)
