"""The step `trained_gan`: from a dataset's shards to a trained generator, resumable at any point."""

import logging
from collections.abc import Callable

import torch
from safetensors.torch import save_file
from torch import nn

from gan_core.config import Dataset, Experiment
from gan_core.data.loading import ResidentImages, load_resident
from gan_core.errors import ConfigError
from gan_core.models.common import check_image_size
from gan_core.store import Build, Manifest, Store, fingerprint
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.engine import Engine, TrainingSnapshot
from gan_core.training.history import write_history
from gan_core.training.state import TrainingState
from gan_core.training.strip import progress_png
from gan_core.versions import CODE_VERSIONS

logger = logging.getLogger("gan_core")
ASSET = "trained_gan"
CODE_VERSION = CODE_VERSIONS[ASSET]


def train_gan(
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    shards: Manifest,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
    observe: Callable[[TrainingSnapshot], None] | None = None,
    observe_interval: float = 10.0,
    device: str | None = None,
) -> Manifest:
    """Train `experiment` on the train split of `shards`, or go on from its newest good checkpoint.

    `emit` gets progress lines, `observe` a snapshot at most every `observe_interval` seconds; both are
    called in the calling thread. `device` is CUDA where there is one, else the CPU; it is recorded, but does
    not count in the fingerprint. `force` begins again. An exception that reaches the calling thread
    (KeyboardInterrupt, Dagster's interrupt) saves the last whole step and is raised again.

    Files: generator.safetensors (the average where `ema_decay` is set), discriminator.safetensors,
    generator_untrained.safetensors, history.parquet, progress.png. Figures: images_seen,
    images_per_second, d_loss, g_loss, seconds_training, parameters_generator, parameters_discriminator.

    Raises `ConfigError` where experiment and shards do not fit together, and `TrainingError` for a loss
    that is not finite and for a checkpoint of another configuration.
    """
    _check(experiment, dataset, shards)
    target = torch.device(device) if device else default_device()
    config = experiment.training_config()
    key = fingerprint(config, {"image_shards": shards}, CODE_VERSION)
    checkpoints = Checkpoints(store, ASSET, experiment.name, key, emit)
    if force:
        checkpoints.remove_all()

    def build(work: Build) -> None:
        images = load_resident(store, shards, "train", emit=emit)
        state = _fresh_state(experiment, shards, target)
        save_weights(state.generator, work, "generator_untrained")
        engine = Engine(
            state,
            images.images.to(target),
            images.labels.to(target) if experiment.conditional else None,
            total_images(experiment, images),
            checkpoints,
            emit=emit,
            observe=observe,
            observe_interval=observe_interval,
        )
        _resume(state, checkpoints, emit)
        _warn_about_precision(experiment, target, emit)
        engine.run()
        _write_results(state, shards, work)

    manifest = store.produce(
        ASSET,
        experiment.name,
        config=config,
        inputs={"image_shards": shards},
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    checkpoints.remove_all()
    return manifest


def default_device() -> torch.device:
    """The current CUDA device where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def total_images(experiment: Experiment, images: ResidentImages) -> int:
    """The length of the run in images seen by D."""
    length = experiment.length
    return length.images or max(1, round(length.epochs * len(images)))


def save_weights(network: nn.Module, work: Build, name: str) -> None:
    """`<name>.safetensors`: the state dict, on the CPU, contiguous."""
    weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(weights, work.folder / f"{name}.safetensors")


def _check(experiment: Experiment, dataset: Dataset, shards: Manifest) -> None:
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


def _fresh_state(experiment: Experiment, shards: Manifest, device: torch.device) -> TrainingState:
    return TrainingState(
        experiment,
        channels=shards.details["channels"],
        image_size=shards.details["image_size"],
        n_classes=len(shards.details["classes"] or ()),
        device=device,
    )


def _resume(state: TrainingState, checkpoints: Checkpoints, emit: Callable[[str], None]) -> None:
    saved = checkpoints.load_newest()
    if saved is None:
        return
    state.load_state_dict(saved)
    emit(f"going on from {checkpoints.last}: {state.images_seen:,} images seen")
    if saved["noise_device"] != state.device.type:
        emit(
            f"the checkpoint was written on {saved['noise_device']}, this is {state.device.type}: the run "
            "goes on with other random numbers than it would have had there"
        )


def _warn_about_precision(experiment: Experiment, device: torch.device, emit: Callable[[str], None]) -> None:
    if experiment.precision == "bf16" and device.type != "cuda":
        emit(f"precision bf16 is for CUDA; on {device.type} this run uses fp32")


def _write_results(state: TrainingState, shards: Manifest, work: Build) -> None:
    save_weights(state.sampler, work, "generator")
    save_weights(state.discriminator, work, "discriminator")
    write_history(state.history, work.folder / "history.parquet")
    (work.folder / "progress.png").write_bytes(progress_png(state.samples))
    last = state.history[-1]
    work.figures |= {
        "images_seen": state.images_seen,
        "images_per_second": round(state.images_seen / max(state.seconds, 1e-9), 1),
        "d_loss": last["d_loss"],
        "g_loss": last["g_loss"],
        "seconds_training": round(state.seconds, 3),
        "parameters_generator": sum(weight.numel() for weight in state.generator.parameters()),
        "parameters_discriminator": sum(weight.numel() for weight in state.discriminator.parameters()),
    }
    work.details |= {
        "device": describe_device(state.device),
        "torch": torch.__version__,
        "z_dim": state.experiment.latent.size,
        "n_classes": state.generator.n_classes,
        "classes": shards.details["classes"],
        "image_size": shards.details["image_size"],
        "channels": shards.details["channels"],
    }


def describe_device(device: torch.device) -> str:
    """`cpu (2 threads)` or the name of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"
