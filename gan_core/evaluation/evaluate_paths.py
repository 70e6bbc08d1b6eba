"""Evaluation of any images against any others: folders, archives, shards."""

import logging
from collections.abc import Callable
from typing import Any

from gan_core.errors import EvaluationError
from gan_core.evaluation.extraction import Accumulator, Part, batched, extract_into, progress_of
from gan_core.evaluation.extractors import ExtractorSources, FeatureExtractor, extractor_named
from gan_core.evaluation.measuring import measure, protocol_of
from gan_core.evaluation.metrics import (
    METRICS,
    Comparison,
    ImageSet,
    Metric,
    Statistic,
    chosen_metrics,
    statistics_needed,
)
from gan_core.evaluation.paths import PathImages
from gan_core.store import Manifest, Store, default_store

logger = logging.getLogger("gan_core")


def metrics_of_paths() -> list[str]:
    """The metrics that any images can be measured by: those that need no more than two sets of images."""
    return [name for name, metric in METRICS.items() if not (metric.needs_labels or metric.held_out)]


def evaluate_paths(
    real: str,
    fake: str,
    *,
    extractor: str = "inception",
    metrics: list[str] | None = None,
    weights: str | None = None,
    store: Store | None = None,
    classifier: Manifest | str | None = None,
    image_size: int | None = None,
    seed: int = 0,
    emit: Callable[[str], None] = logger.info,
) -> dict[str, Any]:
    """Measure the images under `fake` against those under `real`; a JSON-able dict of figures.

    Each place (a path or fsspec URL) is a folder, an archive (zip, tar) or WebDataset shards. `metrics` is
    a choice of `metrics_of_paths`, all by default. `weights` is the path or URL of the extractor's weights
    instead of the download; the extractor `classifier` is named by `classifier`: a manifest of `store`, or
    the path of a classifier.safetensors. With `image_size` all images become squares of that side; without,
    images of different sizes are an `EvaluationError`.

    Keys: real, fake, real_images, fake_images, the metrics' figures, `protocol` (of the comparison) and
    `protocols` (of each figure).
    """
    chosen = chosen_metrics(metrics_of_paths() if metrics is None else metrics)
    _check_possible(chosen)
    kind = extractor_named(extractor)
    sources = ExtractorSources(store, {extractor: weights} if weights else {}, classifier)
    # Both places are looked through before a network is loaded or downloaded.
    cache = (store or default_store()).cache
    real_images, fake_images = PathImages(real, cache, emit), PathImages(fake, cache, emit)
    _check_counts(real_images, fake_images, chosen)
    network = kind.open(sources)

    def gather(images: PathImages, statistics: tuple[Statistic, ...]) -> ImageSet:
        return _gather(images, network, statistics, image_size, seed, emit)

    generated = gather(fake_images, statistics_needed(chosen.values(), real=False))
    needed = statistics_needed(chosen.values(), real=True)
    compared = gather(real_images, needed).prepared(needed) if needed else None
    protocol = protocol_of(
        network,
        samples=len(fake_images),
        real=real_images.name,
        real_images=len(real_images),
        real_hash=real_images.content_hash[:8],
        shape="mixed",
        given_channels=network.channels,
        resize=f"{image_size}-bicubic-crop" if image_size else "none",
        seed=seed,
    )
    found = measure(chosen, Comparison(generated, compared), protocol)
    return {
        "real": real_images.location,
        "fake": fake_images.location,
        "real_images": len(real_images),
        "fake_images": len(fake_images),
        **found.figures,
        "protocol": str(protocol if compared else protocol.without_real()),
        "protocols": found.protocols,
    }


def _check_possible(metrics: dict[str, Metric]) -> None:
    for name, metric in metrics.items():
        if metric.needs_labels:
            label = metric.figures[metric.main].label.lower()
            raise EvaluationError(f"{label} needs the classes that were asked for: evaluate an experiment")
        if metric.held_out:
            raise EvaluationError(f"metric `{name}` needs a test split too: evaluate an experiment")


def _check_counts(real: PathImages, fake: PathImages, metrics: dict[str, Metric]) -> None:
    least = max(metric.least_images for metric in metrics.values())
    for images, needed in ((real, 2), (fake, least)):
        if len(images) < needed:
            raise EvaluationError(
                f"{images.location} holds {len(images)} image{'s' if len(images) > 1 else ''}, but "
                f"{', '.join(metrics)} needs at least {needed}: add images"
            )


def _gather(
    images: PathImages,
    extractor: FeatureExtractor,
    statistics: tuple[Statistic, ...],
    image_size: int | None,
    seed: int,
    emit: Callable[[str], None],
) -> ImageSet:
    classes = extractor.n_classes is not None
    accumulator = Accumulator(statistics, len(images), classes=classes, seed=seed)
    progress = progress_of(extractor, images.name, len(images), emit)
    decoded = batched(images.decoded(extractor.channels, image_size))
    extract_into([Part(accumulator)], extractor, decoded, progress)
    return accumulator.finish()
