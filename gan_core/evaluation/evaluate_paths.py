"""Evaluation of any images against any others: folders, archives, shards, arrays, statistics, splits."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources, FeatureExtractor, extractor_named
from gan_core.evaluation.inputs import Images, open_images
from gan_core.evaluation.inputs.real import Arrival, Real, RealImages, RealSplit, RealStatistics, gather
from gan_core.evaluation.inputs.splits import StoredSplit
from gan_core.evaluation.inputs.statistics_files import StatisticsFile, is_statistics, write_statistics
from gan_core.evaluation.judging.impostors import findings_of_samples
from gan_core.evaluation.judging.verdicts import in_words, listed, nothing_found
from gan_core.evaluation.metrics import METRICS, ImageSet, Metric, chosen_metrics, statistics_needed
from gan_core.evaluation.metrics.base import MOMENTS
from gan_core.store import Manifest, Store, default_store

logger = logging.getLogger("gan_core")
Emit = Callable[[str], None]
DEFAULT_EXTRACTOR = "inception"


def metrics_of_paths() -> list[str]:
    """The metrics that any images are measured by: by default, those that need no classes asked for."""
    return [name for name, metric in METRICS.items() if metric.by_default and not metric.needs_labels]


def evaluate_paths(
    real: str | StoredSplit,
    fake: str,
    *,
    held_out: str | None = None,
    extractor: str | None = None,
    metrics: list[str] | None = None,
    weights: str | None = None,
    store: Store | None = None,
    classifier: Manifest | str | None = None,
    image_size: int | None = None,
    seed: int | None = None,
    emit: Emit = logger.info,
) -> dict[str, Any]:
    """Measure the images under `fake` against those under `real`; a JSON-able dict of figures.

    Each place (a path or fsspec URL) is a folder, an archive (zip, tar), WebDataset shards or an array
    (`.npy`, `.npz`). `real` may also be statistics in pytorch-fid's and clean-fid's format (`.npz`), which
    serve the metrics that need moments only, or a `StoredSplit`: then nothing is extracted of real images,
    and figures and protocol are those of the asset `evaluation`. `held_out` are real images that were not
    trained on, for metrics that look at both (a split's are those of its dataset).

    `metrics` is a choice of `metrics_of_paths`, by default all that these places allow. `extractor` is by
    default the dataset's first, or `inception`; `weights` is the path or URL of its weights. The extractor
    `classifier` is named by `classifier`: a manifest of `store`, or the path of a classifier.safetensors; a
    split brings its own. With `image_size` all images become squares of that side; without, images of
    different sizes are an `EvaluationError`. `seed` is by default the dataset's, or 0.

    Keys: real, fake, real_images, fake_images, the metrics' figures, of each metric its main figure under the
    metric's own name, `protocol` (of the comparison), `protocols` (of each figure), `warnings` (what a reader
    of the figures has to know, in words) and `left_out` (damaged images of either side, at most 1%).
    """
    opened = _Places(real, store, seed, image_size, emit)
    name, sources = opened.extractor(extractor, weights, classifier)
    kind = extractor_named(name)
    fine = _without_labels(metrics)
    # All places are looked through before a network is loaded or downloaded.
    generated = open_images(fake, opened.cache, emit)
    against = opened.real(held_out)
    chosen = _possible(fine, against, named=metrics is not None)
    _check_counts(generated, against, chosen)
    if not image_size:
        generated.require_one_size()
    network = kind.open(sources)
    against.check(network)
    gathered = gather(
        generated,
        network,
        statistics_needed(chosen.values(), real=False),
        channels=against.channels,
        image_size=image_size,
        seed=opened.seed,
        emit=emit,
    )
    found, protocol = against.compare(network, chosen, gathered, Arrival(generated, image_size), emit)
    warnings = warnings_of(generated, gathered, against, network, chosen)
    for warning in warnings:
        emit(f"warning: {warning}")
    findings = findings_of_samples(found.figures, samples=len(generated), real_images=against.images or 0)
    for finding in findings:
        emit(f"{in_words(finding['verdict'])}: {finding['text']}")
    of_metrics = {name: found.figures.get(metric.main) for name, metric in chosen.items()}
    return {
        "real": against.location,
        "fake": generated.location,
        "real_images": against.images,
        "fake_images": len(generated),
        **of_metrics,
        **found.figures,
        "protocol": protocol,
        "protocols": found.protocols,
        "verdict": listed([finding["verdict"] for finding in findings])
        if findings
        else nothing_found(found.figures),
        "findings": [finding["text"] for finding in findings],
        "warnings": warnings,
        "left_out": {"real": _named(against.left_out), "fake": _named(generated.left_out)},
    }


def save_statistics(
    real: str | StoredSplit,
    path: Path,
    *,
    extractor: str | None = None,
    weights: str | None = None,
    store: Store | None = None,
    classifier: Manifest | str | None = None,
    image_size: int | None = None,
    emit: Emit = logger.info,
) -> dict[str, Any]:
    """Write mean and covariance of real images for `evaluate_paths`, pytorch-fid and clean-fid.

    The arguments are those of `evaluate_paths`. Keys: real, real_images, statistics (the path), extractor,
    weights, shape.
    """
    opened = _Places(real, store, None, image_size, emit)
    name, sources = opened.extractor(extractor, weights, classifier)
    kind = extractor_named(name)
    against = opened.real(None)
    network = kind.open(sources)
    against.check(network)
    moments, shape = against.moments(network, emit)
    write_statistics(Path(path), moments, network, shape)
    return {
        "real": against.location,
        "real_images": against.images,
        "statistics": str(path),
        "extractor": network.name,
        "weights": network.fingerprint,
        "shape": shape,
    }


class _Places:
    """The real side as it was named, and what follows from it."""

    def __init__(
        self,
        real: str | StoredSplit,
        store: Store | None,
        seed: int | None,
        image_size: int | None,
        emit: Emit,
    ):
        if image_size is not None and image_size < 1:
            raise EvaluationError(
                f"image_size is {image_size}, but an image has at least 1 pixel a side: leave it out to keep "
                "the images' own size"
            )
        self.named, self.store, self.image_size, self.emit = real, store or default_store(), image_size, emit
        self.cache = self.store.cache
        self.dataset = real.dataset if isinstance(real, StoredSplit) else None
        of_dataset = self.dataset.evaluation.seed if self.dataset else 0
        if self.dataset and seed not in (None, of_dataset):
            raise EvaluationError(
                f"the seed is {seed}, but {self.dataset.name} is evaluated by {of_dataset}: leave it out"
            )
        self.seed = of_dataset if seed is None else seed

    def extractor(
        self, name: str | None, weights: str | None, classifier: Manifest | str | None
    ) -> tuple[str, ExtractorSources]:
        """Which one, and where its weights are."""
        of_dataset = dict(self.dataset.evaluation.weights) if self.dataset else {}
        default = self.dataset.evaluation.extractors[0] if self.dataset else DEFAULT_EXTRACTOR
        # Who names a classifier means to use it.
        by_classifier = next(key for key, kind in EXTRACTORS.items() if kind.needs_classifier)
        name = name or (by_classifier if classifier is not None else default)
        if name == by_classifier and weights:
            raise EvaluationError(f"the extractor `{name}` takes no --weights: name its file by --classifier")
        if name != by_classifier and classifier is not None:
            raise EvaluationError(
                f"the extractor `{name}` takes no --classifier: leave out one of --extractor and --classifier"
            )
        if self.dataset and classifier is None:
            classifier = self.named.classifier
        given = of_dataset | ({name: weights} if weights else {})
        return name, ExtractorSources(self.store, given, classifier)

    def real(self, held_out: str | None) -> Real:
        """The real side, looked through."""
        if isinstance(self.named, StoredSplit):
            if held_out:
                raise EvaluationError(
                    f"{self.named.location} brings its own test split: leave out --held-out {held_out}"
                )
            return RealSplit(self.named, self.store)
        if is_statistics(self.named, self.cache, self.emit):
            return RealStatistics(StatisticsFile.open(self.named, self.cache, self.emit), self.seed)
        sources = [open_images(place, self.cache, self.emit) for place in (self.named, held_out) if place]
        if not self.image_size:
            for source in sources:
                source.require_one_size()
        return RealImages(sources[0], (*sources[1:], None)[0], self.image_size, self.seed)


# --- what is refused --------------------------------------------------------------------------------------


def _without_labels(names: list[str] | None) -> dict[str, Metric]:
    metrics = chosen_metrics(metrics_of_paths() if names is None else names)
    for metric in metrics.values():
        if metric.needs_labels:
            label = metric.figures[metric.main].label.lower()
            raise EvaluationError(f"{label} needs the classes that were asked for: evaluate an experiment")
        metric.identity()  # refuses missing weights before anything is read
    return metrics


def _possible(metrics: dict[str, Metric], against: Real, *, named: bool) -> dict[str, Metric]:
    """Those of the metrics that can be measured; one that was named and cannot is an `EvaluationError`."""
    reasons = {name: against.why_not(metric) for name, metric in metrics.items()}
    for name, reason in reasons.items():
        if named and reason:
            raise EvaluationError(
                f"metric `{name}` cannot be measured against {against.location}: it {reason}"
            )
    possible = {name: metric for name, metric in metrics.items() if not reasons[name]}
    if not possible:
        raise EvaluationError(f"no metric can be measured against {against.location}: name images")
    return possible


def _check_counts(fake: Images, real: Real, metrics: dict[str, Metric]) -> None:
    least = max(metric.least_images for metric in metrics.values())
    for location, count, needed in (
        (real.location, real.images, 2),
        (fake.location, len(fake), least),
    ):
        if count is not None and count < needed:
            raise EvaluationError(
                f"{location} holds {count} image{'s' if count > 1 else ''}, but "
                f"{', '.join(metrics)} needs at least {needed}: add images"
            )


# --- what travels with the figures ------------------------------------------------------------------------


def warnings_of(
    fake: Images, gathered: ImageSet, real: Real, network: FeatureExtractor, metrics: dict[str, Metric]
) -> list[str]:
    """What a reader of these figures has to know, in words; `gathered` is what they are computed from."""
    found = []
    of_moments = [metric for metric in metrics.values() if MOMENTS in metric.generated]
    for which, count in (("generated", len(fake)), ("real", real.images)):
        if of_moments and count is not None and count <= network.feature_dim:
            found.append(
                f"{count:,} {which} images are no more than the {network.feature_dim:,} dimensions of the "
                "features: their covariance is singular, and Frechet distances are far too high"
            )
    if real.is_same(fake, gathered, network):
        found.append("both sides hold the same images: their distance says nothing")
    if None not in (fake.size, real.size) and fake.size != real.size:
        sizes = [f"{width}x{height}" for width, height in (fake.size, real.size)]
        found.append(
            f"the generated images are {sizes[0]} of their own, the real ones {sizes[1]}: figures tell the "
            "resizing apart, too"
        )
    given = real.channels or network.channels
    of_channels = {look.channels for look in fake.looks}
    if given == 1 and of_channels & {3, 4}:
        found.append(
            f"generated images have colours, but are compared in grey, which is what {network.name} was "
            "trained on"
        )
    if of_channels & {2, 4}:
        found.append("generated images have transparency: they are laid over white")
    if isinstance(real, RealImages) and {2, 4} & {look.channels for look in real.source.looks}:
        found.append("real images have transparency: they are laid over white")
    for which, left_out in (("generated", fake.left_out), ("real", real.left_out)):
        if left_out:
            names = ", ".join(name for name, _ in left_out[:5]) + (", …" if len(left_out) > 5 else "")
            found.append(f"{len(left_out):,} damaged {which} images are left out: {names}")
    return found


def _named(left_out) -> list[str]:
    return [f"{name} ({reason})" for name, reason in left_out]
