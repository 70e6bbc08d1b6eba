"""Draw images from a trained generator, and the step `samples`: the images that evaluation measures."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gan_core import steps
from gan_core.config import Dataset, Experiment, Latent, recorded_experiment, require_same_configuration
from gan_core.config.datasets import LabelPolicy
from gan_core.data.loading import ShardFiles
from gan_core.data.pixels import encode_png
from gan_core.data.tars import read_tar, write_tar
from gan_core.devices import default_device
from gan_core.errors import ConfigError, EvaluationError
from gan_core.images import enlargement, grid_png, to_uint8
from gan_core.models import build_generator
from gan_core.models.common import draw_latents
from gan_core.models.weights import load_weights
from gan_core.numerics import MEASURING
from gan_core.progress import Progress
from gan_core.remedies import how_to_make
from gan_core.steps import GRID_COLUMNS, GRID_ROWS
from gan_core.store import Build, Manifest, Store
from gan_core.store.reading import reading

logger = logging.getLogger("gan_core")
LATENT_BLOCK = 1024  # latents are drawn in blocks of this many, whatever the batch size
BATCH_SIZE = 128
SAMPLES_PER_TAR = 10_000
GRID_SIDE = 48  # pixels that an image takes at least
WEIGHTS = "generator.safetensors"
LABEL_STREAM = 1
# Nearer to 0 almost every value would be drawn again, thousands of times.
LEAST_TRUNCATION = 0.01


def load_generator(store: Store, trained: Manifest, *, device: str | torch.device = "cpu") -> nn.Module:
    """The generator of a `trained_gan` artefact, ready to draw, rebuilt from the manifest alone.

    Raises `StoreError` where the file is missing or damaged, or does not fit the manifest's network.
    """
    generator = _build(trained)
    load_weights(generator, store, trained, WEIGHTS)
    return _ready(generator, device)


def untrained_generator(trained: Manifest, seed: int, device: str | torch.device = "cpu") -> nn.Module:
    """The generator of a `trained_gan` artefact as it would be before training, with weights of this seed."""
    return _ready(_build(trained, seed), device)


def _build(trained: Manifest, seed: int = 0) -> nn.Module:
    experiment = recorded_experiment(trained.config, trained.partition)
    with reading(
        f"trained_gan/{trained.partition}", how_to_make("trained_gan", trained.partition, force=True)
    ):
        shape = {name: int(trained.details[name]) for name in ("channels", "image_size", "n_classes")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_generator(experiment, **shape)


def _ready(generator: nn.Module, device: str | torch.device) -> nn.Module:
    return generator.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def generate(
    generator: nn.Module,
    count: int,
    *,
    seed: int,
    labels: Tensor | None = None,
    truncation: float | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield `count` images as (uint8 (b, C, H, W), int64 (b,) or None) on the CPU, b at most `batch_size`.

    Image i depends on `seed`, i and its label alone: latents come from a CPU generator in blocks of fixed
    size, so that another batch size or device gives the same images (up to the rounding of the network's
    arithmetic, at most one of 255 levels). `labels` int64 (count,) asks for classes; by default a
    conditional generator takes its classes in turn, so that they are even. `truncation`: see `truncated`.
    """
    drawn = generate_on_device(
        generator, count, seed=seed, labels=labels, truncation=truncation, batch_size=batch_size
    )
    for images, of_batch in drawn:
        yield images.cpu().contiguous(), of_batch


def generate_on_device(
    generator: nn.Module,
    count: int,
    *,
    seed: int,
    labels: Tensor | None = None,
    truncation: float | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """As `generate`, but the images stay on the generator's device, in its layout, and nothing waits for it;
    the classes are on the CPU."""
    if generator.n_classes and labels is None:
        labels = torch.arange(count) % generator.n_classes
    start = 0
    for z in latent_batches(generator, count, seed, batch_size, truncation):
        of_batch = labels[start : start + len(z)] if generator.n_classes else None
        start += len(z)
        yield to_uint8(images_of(generator, z, of_batch), generator.image_range), of_batch


def images_of(generator: nn.Module, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """What a generator makes of latents (B, latent.size) and labels int64 (B,): float (B, C, H, W) in its
    `image_range`, on its device."""
    device = next(generator.parameters()).device
    with torch.inference_mode(), MEASURING.applied():
        return generator(z.to(device), None if labels is None else labels.to(device))


def sample_latents(generator: nn.Module, count: int, seed: int) -> Tensor:
    """The latents (count, latent.size) that `generate` draws images 0 to `count` - 1 of this seed from."""
    return torch.cat(list(latent_batches(generator, count, seed, LATENT_BLOCK)))


def count_classes(store: Store, shards: Manifest) -> list[int]:
    """How many train images each class has: as the manifest says, else as the shards' labels do."""
    if counts := steps.class_counts(shards):
        return counts
    files = ShardFiles(store, shards, "train")
    found = Counter(label for name in files.names for _, _, label in read_tar(files.locate(name)))
    return [found[index] for index in range(files.format.classes)]


def draw_labels(policy: LabelPolicy, counts: list[int], count: int, seed: int) -> Tensor:
    """The classes, int64 (count,), that a conditional generator is asked for.

    `data`: each drawn for itself, a class with the probability of its share of `counts`. Fixed numbers of
    each class would have the spread within classes alone, and with it a smaller variance than images drawn
    from the data: unbiased estimates such as KID would come out too low. `even`: all classes in turn. Label i
    depends on `seed`, i and the shares alone. Raises `EvaluationError` where `counts` are all 0.
    """
    if policy == "even":
        return torch.arange(count) % len(counts)
    if not sum(counts):
        raise EvaluationError(
            "the train split has no labels, so that there are no shares of classes to draw by: set "
            "`evaluation.labels: even`, or make the shards with `classes`"
        )
    limits = np.cumsum(counts) / np.sum(counts)
    # A stream of its own: the latents are drawn by the same seed.
    chances = np.random.default_rng([seed, LABEL_STREAM]).random(count)
    return torch.from_numpy(np.searchsorted(limits, chances, side="right"))


def draw_samples(
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    trained: Manifest,
    shards: Manifest,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Draw what evaluation measures: as many images as `steps.sample_count` says, conditional ones of classes
    by the dataset's `evaluation.labels`.

    Files: grid.png (of the same seed; conditional: one row per class) and samples-NNNNNN.tar. Figures:
    samples, images_per_second. Details: samples (the tars), classes, conditional, grid_classes, and `labels`,
    the policy (None of a generator that is asked for no class).
    """
    if trained.partition != experiment.name:
        raise ConfigError(
            f"experiment `{experiment.name}` was given the training of `{trained.partition}`: give its own"
        )
    require_same_configuration(trained.config, experiment)
    count, seed = steps.sample_count(dataset, shards), dataset.evaluation.seed

    def build(work: Build) -> None:
        generator = load_generator(store, trained, device=default_device())
        labels = _labels(store, dataset, shards, generator, count) if generator.n_classes else None
        (work.folder / "grid.png").write_bytes(_grid(generator, seed))
        began = time.monotonic()
        progress = Progress(f"drawing {experiment.name} samples", count, emit=emit)
        tars = _write_tars(generator, count, seed, labels, work.folder, progress)
        seconds = time.monotonic() - began
        work.figures = {"samples": count, "images_per_second": round(count / max(seconds, 1e-9), 1)}
        work.details = {
            "samples": tars,
            "classes": trained.details["classes"],
            "conditional": generator.n_classes > 0,
            "grid_classes": _grid_classes(generator),
            "labels": dataset.evaluation.labels if generator.n_classes else None,
        }

    return steps.samples(experiment, dataset, trained, shards).produce(store, build, force=force, emit=emit)


def latent_batches(
    generator: nn.Module, count: int, seed: int, batch_size: int, truncation: float | None = None
) -> Iterator[Tensor]:
    """float (b, latent.size) batches, cut from blocks that do not depend on `count` or `batch_size`."""
    numbers = torch.Generator("cpu").manual_seed(seed)
    waiting = torch.empty(0, generator.latent.size)
    while count > 0:
        size = min(batch_size, count)
        while len(waiting) < size:
            block = draw_latents(generator.latent, LATENT_BLOCK, numbers)
            waiting = torch.cat([waiting, truncated(block, truncation, generator.latent, numbers)])
        yield waiting[:size]
        waiting, count = waiting[size:], count - size


def truncated(z: Tensor, truncation: float | None, latent: Latent, numbers: torch.Generator) -> Tensor:
    """Latents of the same shape whose values beyond +-`truncation` are drawn again until none is.

    The truncation trick of Brock et al. 2019 (arXiv 1809.11096, section 3.1): more typical images, less
    variety. None changes nothing. Raises `ConfigError` for uniform latents, which have no tails to cut, and
    for a `truncation` below `LEAST_TRUNCATION`.
    """
    if truncation is None:
        return z
    check_truncation(truncation, latent)
    z = z.clone()
    while (beyond := z.abs() > truncation).any():
        z[beyond] = torch.randn(int(beyond.sum()), generator=numbers)
    return z


def check_truncation(truncation: float | None, latent: Latent) -> None:
    """Raise `ConfigError` where latents cannot be truncated at this value."""
    if truncation is None:
        return
    if latent.distribution != "normal":
        raise ConfigError(
            f"truncation draws values of a latent that are far out again, but those of this generator are "
            f"{latent.distribution} between -1 and 1 and have no tails: leave `--truncation` out"
        )
    if not truncation >= LEAST_TRUNCATION:
        raise ConfigError(
            f"truncation is {truncation:g}: choose {LEAST_TRUNCATION:g} or more (0.5 for typical images, 2 "
            "for almost all of the variety)"
        )


def _labels(store: Store, dataset: Dataset, shards: Manifest, generator: nn.Module, count: int) -> Tensor:
    policy, seed = dataset.evaluation.labels, dataset.evaluation.seed
    if policy == "even":
        return draw_labels(policy, [1] * generator.n_classes, count, seed)
    counts = count_classes(store, shards)
    if len(counts) != generator.n_classes:
        raise ConfigError(
            f"the generator knows {generator.n_classes} classes, but the shards of {dataset.name} have "
            f"{len(counts)}: train it on these shards"
        )
    return draw_labels(policy, counts, count, seed)


def _write_tars(
    generator: nn.Module, count: int, seed: int, labels: Tensor | None, folder: Path, progress: Progress
) -> list[str]:
    samples = _encoded(generator, count, seed, labels, progress)
    names = []
    for first in range(0, count, SAMPLES_PER_TAR):
        names.append(f"samples-{len(names):06d}.tar")
        size = min(SAMPLES_PER_TAR, count - first)
        write_tar(folder / names[-1], (next(samples) for _ in range(size)))
    return names


def _encoded(
    generator: nn.Module, count: int, seed: int, labels: Tensor | None, progress: Progress
) -> Iterator[tuple[str, bytes, int | None]]:
    index = 0
    for images, asked in generate(generator, count, seed=seed, labels=labels):
        for position, image in enumerate(images.numpy()):
            yield f"{index:06d}", encode_png(image), None if asked is None else int(asked[position])
            index += 1
        progress.update(index)


def _grid(generator: nn.Module, seed: int) -> bytes:
    classes = _grid_classes(generator)
    labels = torch.tensor(classes).repeat_interleave(GRID_COLUMNS) if classes else None
    rows = len(classes) or GRID_ROWS
    drawn = [images for images, _ in generate(generator, rows * GRID_COLUMNS, seed=seed, labels=labels)]
    images = torch.cat(drawn)
    return grid_png(images, GRID_COLUMNS, scale=enlargement(images.shape[-1], GRID_SIDE))


def _grid_classes(generator: nn.Module) -> list[int]:
    """The classes that have a row in the grid: all, or the first so many that fit."""
    return list(range(min(generator.n_classes, GRID_ROWS)))
