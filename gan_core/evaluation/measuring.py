"""Metrics over one comparison: figures, each with its protocol."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gan_core.config import Dataset
from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources, FeatureExtractor
from gan_core.evaluation.metrics import Comparison, Figures, Metric, Variant, compute_metrics
from gan_core.evaluation.protocol import Protocol
from gan_core.store import Manifest, Store

if TYPE_CHECKING:
    import numpy


@dataclass
class Measured:
    """Figures by name, the protocol in words of each one that has a value, and by metric the arrays that
    stand behind them."""

    figures: Figures = field(default_factory=dict)
    protocols: dict[str, str] = field(default_factory=dict)
    evidence: "dict[str, dict[str, numpy.ndarray]]" = field(default_factory=dict)

    def add(self, other: "Measured") -> None:
        self.figures |= other.figures
        self.protocols |= other.protocols
        self.evidence |= other.evidence


def measure(
    metrics: dict[str, Metric], comparison: Comparison, protocol: Protocol, variant: Variant | None = None
) -> Measured:
    """The figures of these metrics; for a `variant` the main figure of those that have it, as `fid_test`.

    `protocol` is that of the comparison; a metric adds its settings, or leaves out the real images.
    """
    if variant:
        metrics = {name: metric for name, metric in metrics.items() if variant in metric.variants}
    found = Measured()
    for name, metric in metrics.items():
        figures = compute_metrics({name: metric}, comparison)
        applies = metric.applies_to(comparison)
        if variant:
            figures = {f"{metric.main}_{variant}": figures[metric.main]}
        else:
            figures |= _bounds(metric, comparison) if applies else dict.fromkeys(metric.bounds)
            if metric.evidence and applies:
                found.evidence[name] = metric.evidence(comparison)
        found.figures |= figures
        if applies:
            of_metric = protocol if metric.real else protocol.without_real()
            text = str(of_metric.with_settings(metric.settings(comparison)))
            found.protocols |= {figure: text for figure, value in figures.items() if value is not None}
    return found


def _bounds(metric: Metric, comparison: Comparison) -> Figures:
    interval = metric.interval(comparison) if metric.interval else None
    return dict(zip(metric.bounds, interval or (None, None), strict=False))


def split_protocol(
    extractor: FeatureExtractor,
    dataset: Dataset,
    real_hash: str,
    split: str,
    samples: int,
    real_images: int,
) -> Protocol:
    """The protocol of a comparison of `samples` images with a split of the dataset."""
    return Protocol(
        extractor=extractor.name,
        weights=extractor.fingerprint[:12],
        samples=samples,
        real=f"{dataset.name}/{split}",
        real_images=real_images,
        real_hash=real_hash,
        resize=extractor.resize,
        seed=dataset.evaluation.seed,
    )


def open_extractor(
    name: str, store: Store, dataset: Dataset, classifier: Manifest | None
) -> FeatureExtractor:
    """The extractor that a dataset's evaluation calls `name`, loaded."""
    return EXTRACTORS[name].open(sources_of(store, dataset, classifier))


def sources_of(store: Store | None, dataset: Dataset, classifier: Manifest | None) -> ExtractorSources:
    """Where a dataset's extractors find their weights."""
    return ExtractorSources(store, dataset.evaluation.weights, classifier, dataset.name)
