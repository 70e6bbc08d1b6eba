"""The figures of a generator before training: what no learning at all gives, measured once per architecture
and dataset, whatever the number of experiments and seeds."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gan_core import steps
from gan_core.config import Dataset
from gan_core.devices import default_device
from gan_core.errors import EvaluationError, StoreError
from gan_core.evaluation.extraction import Accumulator, Part, extract_into, progress_of
from gan_core.evaluation.measuring import measure, open_extractor, split_protocol
from gan_core.evaluation.metrics import Comparison, chosen_metrics, statistics_needed
from gan_core.evaluation.reference import load_reference
from gan_core.sampling import draw_labels, generate, untrained_generator
from gan_core.store import Build, Manifest, Store

logger = logging.getLogger("gan_core")


def measure_untrained(
    store: Store,
    dataset: Dataset,
    trained: Manifest,
    reference: Manifest,
    classifier: Manifest | None,
    count: int,
    *,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """The artefact `untrained`: `count` images of the untrained generator of `trained` against train images.

    It depends on what the generator is built from, not on the training. Figures: those of the first extractor
    with the variant `untrained`, as `fid_untrained`. Details: for each of `extractors` its `figures` and
    `protocols`. Raises `EvaluationError` where a covariance needs more images.
    """
    metrics = {
        name: metric
        for name, metric in chosen_metrics(dataset.evaluation.metrics).items()
        if "untrained" in metric.variants
    }
    least = max((metric.least_images for metric in metrics.values()), default=0)
    if count < least:
        raise EvaluationError(
            f"{count} images of an untrained generator are too few, {least} are needed: raise "
            f"`evaluation.samples` of {dataset.name}"
        )

    def build(work: Build) -> None:
        generator = untrained_generator(trained, dataset.evaluation.seed, default_device())
        labels = _labels(generator, count, dataset, reference)
        measured = {}
        for name in dataset.evaluation.extractors:
            extractor = open_extractor(name, store, dataset, classifier)
            needed = statistics_needed(metrics.values(), real=False)
            accumulator = Accumulator(needed, count, seed=dataset.evaluation.seed)
            progress = progress_of(extractor, f"{count:,} images of the untrained generator", count, emit)
            images = generate(generator, count, seed=dataset.evaluation.seed, labels=labels)
            extract_into([Part(accumulator)], extractor, ((image, None) for image, _ in images), progress)
            statistics = statistics_needed(metrics.values(), real=True)
            real = load_reference(store, reference, name, "train", statistics)
            protocol = split_protocol(
                extractor, dataset, reference.details["real_hash"], "train", count, real.count
            )
            comparison = Comparison(accumulator.finish(), real)
            found = measure(metrics, comparison, protocol, variant="untrained")
            measured[name] = {"figures": found.figures, "protocols": found.protocols}
        work.figures = dict(measured[dataset.evaluation.extractors[0]]["figures"])
        work.details = {"extractors": measured}

    step = steps.untrained(dataset, trained, reference, classifier, count)
    return step.produce(store, build, force=_is_damaged(store, step), emit=emit)


def no_figures(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """`details["extractors"]` of an untrained generator that cannot be built."""
    metrics = chosen_metrics(dataset.evaluation.metrics).values()
    figures = {f"{metric.main}_untrained": None for metric in metrics if "untrained" in metric.variants}
    return {name: {"figures": figures, "protocols": {}} for name in dataset.evaluation.extractors}


def _labels(generator: nn.Module, count: int, dataset: Dataset, reference: Manifest) -> torch.Tensor | None:
    """The classes that the trained generator is asked for, too."""
    if not generator.n_classes:
        return None
    return draw_labels(
        dataset.evaluation.labels, reference.details["class_counts"], count, dataset.evaluation.seed
    )


def _is_damaged(store: Store, step: steps.Step) -> bool:
    """Whether its manifest cannot be read: nobody but an evaluation makes it anew."""
    try:
        step.reuse(store)
    except StoreError as error:
        logger.warning("%s: it is measured anew", error)
        return True
    return False
