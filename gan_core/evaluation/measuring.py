"""Metrics over one comparison: figures, each with its protocol."""

import functools
import importlib.metadata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gan_core.config import Dataset
from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources, FeatureExtractor
from gan_core.evaluation.metrics import Comparison, Figures, Metric, Variant, compute_metrics
from gan_core.evaluation.protocol import Protocol
from gan_core.store import Manifest, Store
from gan_core.versions import CODE_VERSIONS

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
    *,
    labels: str | None = None,
    shape: str | None = None,
    resize: str = "none",
) -> Protocol:
    """The protocol of a comparison of `samples` images with a split of the dataset.

    `labels` is how the samples' classes were asked for, by default as the dataset says; `shape` what the
    images were as they came, by default as the dataset's, and `resize` how they became as large as those.
    """
    own = shape_word(dataset.image_size, dataset.image_size, dataset.channels)
    return protocol_of(
        extractor,
        samples=samples,
        real=f"{dataset.name}/{split}",
        real_images=real_images,
        real_hash=real_hash,
        seed=dataset.evaluation.seed,
        labels=labels or dataset.evaluation.labels,
        shape=shape or own,
        real_shape=own,
        given_channels=dataset.channels,
        resize=resize,
    )


def protocol_of(
    extractor: FeatureExtractor, *, shape: str, given_channels: int, resize: str = "none", **values: Any
) -> Protocol:
    """The protocol of anything that this extractor measures; `values` are other fields of `Protocol`.

    `shape` (see `Protocol`) is what the images were as they came; `resize` and `given_channels` are the size
    and the channels that they had been brought to when the extractor got them.
    """
    resizes = [step for step in (resize, extractor.resize) if step != "none"]
    return Protocol(
        extractor=extractor.name,
        weights=extractor.fingerprint[:12],
        resize=",".join(resizes) or "none",
        shape=shape,
        channels=_channels(extractor, shape, given_channels),
        dtype=_arithmetic(extractor),
        versions=_versions(extractor),
        **values,
    )


def shape_word(width: int, height: int, channels: int) -> str:
    """The size and channels of images, as protocols have them."""
    return f"{width}x{height}x{channels}"


def labels_of(samples: Manifest, dataset: Dataset) -> str:
    """How the classes of these samples were asked for; those without classes stand beside those of the
    dataset's policy, which they are to be compared with."""
    if not samples.details.get("conditional"):
        return dataset.evaluation.labels
    return samples.details.get("labels") or "even"  # before there was a choice, all classes came in turn


def _channels(extractor: FeatureExtractor, shape: str, given: int) -> str:
    own = shape.rpartition("x")[2]
    if own == "1" and (given == 3 or extractor.repeats_grey):
        return "grey-to-rgb"
    if own in ("3", "4") and given == 1:
        return "rgb-to-grey,repeated" if extractor.repeats_grey else "rgb-to-grey"
    return ""


def _arithmetic(extractor: FeatureExtractor) -> str:
    """float32, and whether a GPU may round the factors of its products to TensorFloat-32."""
    import torch

    from gan_core.numerics import MEASURING

    device = getattr(extractor, "device", None)
    on_gpu = device is not None and torch.device(device).type == "cuda"
    return "float32+tf32" if on_gpu and MEASURING.tf32 else "float32"


@functools.cache
def _version(library: str) -> str:
    """Without what tells apart builds of one version, such as `+cpu`."""
    return importlib.metadata.version(library).partition("+")[0]


def _versions(extractor: FeatureExtractor) -> tuple[tuple[str, str], ...]:
    libraries = ("torch", "numpy", *extractor.libraries)
    return (*((name, _version(name)) for name in libraries), ("code", CODE_VERSIONS["evaluation"]))


def open_extractor(
    name: str, store: Store, dataset: Dataset, classifier: Manifest | None
) -> FeatureExtractor:
    """The extractor that a dataset's evaluation calls `name`, loaded."""
    return EXTRACTORS[name].open(sources_of(store, dataset, classifier))


def sources_of(store: Store | None, dataset: Dataset, classifier: Manifest | None) -> ExtractorSources:
    """Where a dataset's extractors find their weights."""
    return ExtractorSources(store, dataset.evaluation.weights, classifier, dataset.name)
