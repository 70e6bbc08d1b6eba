"""The step `trained_gan`: from a dataset's shards to a trained generator, resumable at any point."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gan_core import steps
from gan_core.config import Dataset, Experiment
from gan_core.data.feed import TrainingFeed, open_feed
from gan_core.devices import default_device, describe_device
from gan_core.errors import ConfigError, TrainingError
from gan_core.evaluation.classifier import load_classifier
from gan_core.evaluation.in_training import InTrainingEvaluation, read_real_images
from gan_core.lease import Lease
from gan_core.models import check_image_size
from gan_core.steps import Step
from gan_core.store import Build, Manifest, Store
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.engine import Engine, TrainingSnapshot
from gan_core.training.guards import verdict_names
from gan_core.training.history import write_rows
from gan_core.training.noise import stream_seed
from gan_core.training.progress_strip import progress_png
from gan_core.training.ranks import Ranks
from gan_core.training.state import TrainingState, cpu_copy
from gan_core.training.tensorboard import TensorBoardLog, tensorboard_folder

logger = logging.getLogger("gan_core")
ASSET = "trained_gan"
LEFT_OF_THE_BEGINNING = 0.05  # a share of untrained weights in the average that is worth a warning


def train_gan(
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    shards: Manifest,
    classifier: Manifest | None = None,
    *,
    force: bool = False,
    resume: bool = False,
    emit: Callable[[str], None] = logger.info,
    observe: Callable[[TrainingSnapshot], None] | None = None,
    observe_interval: float = 10.0,
    device: str | None = None,
    memory_limit_bytes: int | None = None,
    ranks: Ranks | None = None,
) -> Manifest | None:
    """Train `experiment` on the train split of `shards`, or go on from its newest good checkpoint.

    `classifier` extracts the features of the in-training FID; without one there is no best generator and no
    verdict on stagnation. It counts in the fingerprint only where that FID decides what is published
    (`publish`, `stop_on`): otherwise a new classifier is no reason to train for days again. `emit` gets
    progress lines, `observe` a snapshot at most every `observe_interval` seconds; both are called in the
    calling thread. `device` is CUDA where there is one, else the CPU; it is recorded, but does not count in
    the fingerprint. `force` begins again; with `resume` too it goes on from the checkpoints of an attempt
    that was forced, as a retry must. More than `memory_limit_bytes` (by default: what is free) of images are
    streamed. An exception that reaches the calling thread (KeyboardInterrupt, Dagster's interrupt) saves the
    last whole step and is raised again. Of several `ranks` the first makes the artefact and speaks to `emit`
    and `observe`, and the others get None.

    Files: generator.safetensors (the average where `ema_decay` is set; the best one where `publish` or
    a guard says so), discriminator.safetensors of the same moment, generator_untrained.safetensors,
    generator_best.safetensors, history.parquet, evaluations.parquet, progress.png. Figures: verdict,
    images_seen, images_per_second, d_loss, g_loss, seconds_training, parameters_generator,
    parameters_discriminator, and of the in-training evaluation fid_in_training, fid_best, images_seen_best,
    diversity. Details: verdicts, stopped_by, published.

    Raises `ConfigError` where experiment, shards and `ranks` do not fit together, and `TrainingError` for a
    loss that is not finite where there is no best to keep, for a checkpoint of another configuration, where
    another process trains this experiment, and where one of the ranks is gone.
    """
    ranks = ranks or Ranks()
    check(experiment, dataset, shards, processes=ranks.size)
    if classifier is None and (experiment.publish == "best" or "stagnation" in experiment.stop_on):
        raise ConfigError(
            f"experiment `{experiment.name}` has `publish: best` or stops on `stagnation`, which the "
            "in-training FID decides: give the dataset's classifier too"
        )
    training = Training(
        store,
        experiment,
        shards,
        classifier,
        _device(device),
        ranks,
        emit if ranks.is_first else _silent,
        observe if ranks.is_first else None,
        observe_interval,
        memory_limit_bytes,
    )
    if not training.ranks.is_first:
        training.follow()
        return None
    return training.lead(force, resume)


def reuse_training(
    store: Store, experiment: Experiment, shards: Manifest, classifier: Manifest | None = None
) -> Manifest | None:
    """What `train_gan` would return without training; None where it would train."""
    return steps.trained_gan(experiment, shards, classifier).reuse(store)


@dataclass(frozen=True)
class Training:
    """One training of one experiment by this process, alone or as one of several ranks."""

    store: Store
    experiment: Experiment
    shards: Manifest
    classifier: Manifest | None
    device: torch.device
    ranks: Ranks
    emit: Callable[[str], None]
    observe: Callable[[TrainingSnapshot], None] | None
    observe_interval: float
    memory_limit_bytes: int | None

    @property
    def step(self) -> Step:
        return steps.trained_gan(self.experiment, self.shards, self.classifier)

    @property
    def fingerprint(self) -> str:
        return self.step.fingerprint

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(
            self.store,
            ASSET,
            self.experiment.name,
            self.fingerprint,
            self.emit,
            keep=self.experiment.keep_checkpoints,
        )

    def lead(self, force: bool, resume: bool) -> Manifest:
        """Train and publish, unless the artefact is there; no other process does so meanwhile."""
        began = False
        with Lease(self.store, ASSET, self.experiment.name, self.fingerprint, self.emit) as lease:
            checkpoints = self.checkpoints
            if force and not resume:
                checkpoints.remove_all()

            def build(work: Build) -> None:
                nonlocal began
                began = self.ranks.of_first(True)
                self._train(checkpoints, lease.check, work)
                lease.check()

            manifest = self.step.produce(self.store, build, force=force)
            if not began:
                self.ranks.of_first(False)
            checkpoints.remove_all()
            return manifest

    def follow(self) -> None:
        """As another rank than the first: train if it does."""
        if self.ranks.of_first(None):
            self._train(self.checkpoints, lambda: None, None)

    def _train(self, checkpoints: Checkpoints, still_ours: Callable[[], None], work: Build | None) -> None:
        state = self._fresh_state()
        untrained = cpu_copy(state.generator.state_dict())
        with self._feed() as feed:
            data = feed.describe()
            self._resume(state, checkpoints)
            with self._board(state) as board:
                engine = Engine(
                    state,
                    feed,
                    total_images(self.experiment, len(feed)),
                    checkpoints,
                    emit=self.emit,
                    evaluation=self._evaluation(),
                    board=board,
                    observe=self.observe,
                    observe_interval=self.observe_interval,
                    still_ours=still_ours,
                )
                self._warn_about_precision()
                self._warn_about_average(engine.total_images)
                engine.run()
        if work:
            save_weights(untrained, work, "generator_untrained")
            write_results(engine, self._published(engine), self.shards, work)
            work.details["data"] = data
            work.details["in_training_classifier"] = self.classifier and self.classifier.version

    def _published(self, engine: Engine) -> dict:
        """The weights of both networks that the artefact has, of which moment they are, and why that one."""
        state, best = engine.state, engine.state.best
        if best and (self.experiment.publish == "best" or engine.stopped_by):
            return {**best, "which": "best"}
        if not engine.diverged:
            return {**_weights_of(state), "which": "last"}
        good, which = self._fresh_state(), "untrained"
        saved = engine.checkpoints.load_newest()
        if saved:
            good.load_state_dict(saved)
            which = "checkpoint"
        return {**_weights_of(good), "which": which}

    @contextlib.contextmanager
    def _feed(self) -> Iterator[TrainingFeed]:
        feed = open_feed(
            self.store,
            self.shards,
            "train",
            order_seed=self.experiment.seed,
            window=self.experiment.shuffle_window,
            batch_size=self.experiment.batch_size,
            labelled=self.experiment.conditional,
            device=self.device,
            rank=self.ranks.rank,
            world_size=self.ranks.size,
            memory_limit_bytes=self.memory_limit_bytes,
            emit=self.emit,
        )
        with contextlib.closing(feed):
            yield feed

    @contextlib.contextmanager
    def _board(self, state: TrainingState) -> Iterator[TensorBoardLog | None]:
        if not self.ranks.is_first:
            yield None
            return
        folder = tensorboard_folder(self.store, self.experiment.name, self.fingerprint)
        with contextlib.closing(TensorBoardLog(folder, state.images_seen)) as board:
            yield board

    def _evaluation(self) -> InTrainingEvaluation | None:
        if not self.ranks.is_first:
            return None
        real = read_real_images(self.store, self.shards, self.experiment.evaluation_samples)
        extractor = load_classifier(self.store, self.classifier) if self.classifier else None
        if extractor is None:
            self.emit("no classifier was given: this run has no in-training FID")
        if len(real) < 2:
            return None
        return InTrainingEvaluation(real, extractor, stream_seed(self.experiment.seed, "evaluation"))

    def _fresh_state(self) -> TrainingState:
        return TrainingState(
            self.experiment,
            channels=self.shards.details["channels"],
            image_size=self.shards.details["image_size"],
            n_classes=len(self.shards.details["classes"] or ()),
            device=self.device,
            ranks=self.ranks,
        )

    def _resume(self, state: TrainingState, checkpoints: Checkpoints) -> None:
        measure = f"{self.classifier and self.classifier.version} {self.experiment.evaluation_samples}"
        saved = checkpoints.load_newest()
        found = saved and saved["images_seen"]
        if self.ranks.any(found != self.ranks.of_first(found)):
            raise TrainingError(
                f"experiment `{self.experiment.name}`: not every process finds the same newest checkpoint in "
                f"{checkpoints.folder}: use a store that all hosts share"
            )
        if saved is not None:
            state.load_state_dict(saved)
            self.emit(f"going on from {checkpoints.last}: {state.images_seen:,} images seen")
            if saved["noise_device"] != state.device.type:
                self.emit(
                    f"the checkpoint was written on {saved['noise_device']}, this is {state.device.type}: "
                    "the run goes on with other random numbers than it would have had there"
                )
        if not state.measure_by(measure):
            self.emit("the classifier or `evaluation_samples` has changed: the in-training FID begins anew")

    def _warn_about_average(self, images: int) -> None:
        decay = self.experiment.ema_decay
        steps = images // (self.experiment.batch_size * self.experiment.n_critic)
        if decay and decay**steps > LEFT_OF_THE_BEGINNING:
            self.emit(
                f"ema_decay {decay} is slow for the {steps:,} steps of G in this run: {decay**steps:.0%} of "
                "the published average will be the weights from before training; use a smaller one"
            )

    def _warn_about_precision(self) -> None:
        if self.experiment.precision == "bf16" and self.device.type != "cuda":
            self.emit(f"precision bf16 is for CUDA; on {self.device.type} this run uses fp32")


def total_images(experiment: Experiment, count: int) -> int:
    """The length of the run in images seen by D, of a train split of `count`."""
    length = experiment.length
    return length.images or max(1, round(length.epochs * count))


def save_weights(weights: dict[str, Tensor], work: Build, name: str) -> None:
    """`<name>.safetensors`: a state dict, on the CPU, contiguous."""
    weights = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    save_file(weights, work.folder / f"{name}.safetensors")


def write_results(engine: Engine, published: dict, shards: Manifest, work: Build) -> None:
    """The files, figures and details of a training that has ended."""
    state, best = engine.state, engine.state.best
    save_weights(published["generator"], work, "generator")
    save_weights(published["discriminator"], work, "discriminator")
    if best:
        save_weights(best["generator"], work, "generator_best")
        work.figures |= {"fid_best": best["fid"], "images_seen_best": best["images_seen"]}
    _write_records(state, work.folder)
    if state.evaluations:
        work.figures["fid_in_training"] = state.evaluations[-1].get("fid")
        work.figures["diversity"] = state.evaluations[-1]["diversity"]
    work.figures |= {
        "verdict": verdict_names(engine.findings, engine.stopped_by),
        "images_seen": state.images_seen,
        "images_per_second": round(state.images_seen / max(state.seconds, 1e-9), 1),
        "d_loss": state.history[-1].get("d_loss") if state.history else None,
        "g_loss": state.history[-1].get("g_loss") if state.history else None,
        "seconds_training": round(state.seconds, 3),
        "parameters_generator": _parameters(state.generator),
        "parameters_discriminator": _parameters(state.discriminator),
    }
    work.details |= {
        "verdicts": [finding.record() for finding in engine.findings],
        "stopped_by": engine.stopped_by and engine.stopped_by.verdict,
        "published": {name: published[name] for name in ("images_seen", "which")},
        "device": describe_device(state.device),
        "processes": state.ranks.size,
        "torch": torch.__version__,
        "z_dim": state.experiment.latent.size,
        "n_classes": state.generator.n_classes,
        "classes": shards.details["classes"],
        "image_size": shards.details["image_size"],
        "channels": shards.details["channels"],
    }


def _weights_of(state: TrainingState) -> dict:
    return {
        "images_seen": state.images_seen,
        "generator": state.sampler.state_dict(),
        "discriminator": state.discriminator.state_dict(),
    }


def _write_records(state: TrainingState, folder: Path) -> None:
    write_rows(state.history, folder / "history.parquet")
    if state.evaluations:
        write_rows(state.evaluations, folder / "evaluations.parquet")
    (folder / "progress.png").write_bytes(progress_png(state.samples))


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _device(name: str | None) -> torch.device:
    """`cuda` is the current GPU, by number: another thread has another current one."""
    if name == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("device `cuda` was asked for, but torch finds no GPU here: leave it out")
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name) if name else default_device()


def _silent(line: str) -> None:
    """What the other ranks have to say, the first one says."""


def check(experiment: Experiment, dataset: Dataset, shards: Manifest, *, processes: int = 1) -> None:
    """Raise `ConfigError` where an experiment, its shards and the number of processes do not fit together."""
    if experiment.batch_size % processes:
        raise ConfigError(
            f"experiment `{experiment.name}`: batch_size {experiment.batch_size} cannot be shared evenly by "
            f"{processes} processes: choose a number of processes that divides it, or another batch_size"
        )
    check_image_size(experiment.architecture.name, shards.details["image_size"])
    if experiment.dataset != dataset.name or shards.partition != dataset.name:
        raise ConfigError(
            f"experiment `{experiment.name}` is for dataset `{experiment.dataset}`, but was given dataset "
            f"`{dataset.name}` and shards of `{shards.partition}`"
        )
    changed = [
        key for key in ("image_size", "channels", "crop") if shards.config.get(key) != getattr(dataset, key)
    ]
    if changed:
        raise ConfigError(
            f"the shards of `{dataset.name}` were made with another {', '.join(changed)} than its "
            "configuration has now: materialise image_shards again"
        )
    if experiment.conditional and not shards.details["classes"]:
        raise ConfigError(
            f"experiment `{experiment.name}`: conditioning `{experiment.conditioning.name}` needs labels, "
            f"but the shards of `{dataset.name}` have none: set the dataset's `classes`, or conditioning to "
            "`none`"
        )
    length = experiment.length
    images = length.images or length.epochs * shards.details["splits"]["train"]["images"]
    if images <= (experiment.n_critic - 1) * experiment.batch_size:
        raise ConfigError(
            f"experiment `{experiment.name}`: {images:,.0f} images are too few for a single step of the "
            f"generator, which comes every {experiment.n_critic} batches of {experiment.batch_size}: raise "
            "`length`, or lower `n_critic` or `batch_size`"
        )
