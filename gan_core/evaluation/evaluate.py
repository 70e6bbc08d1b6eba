"""Evaluation of an experiment: from its samples to figures with their protocols."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.loading import load_resident
from gan_core.data.pixels import decode_png
from gan_core.data.tars import read_tar
from gan_core.errors import EvaluationError
from gan_core.evaluation.evidence import write_evidence
from gan_core.evaluation.extraction import (
    Accumulator,
    KeyedImage,
    Part,
    batched,
    extract_into,
    images_numbered,
    in_order,
    progress_of,
)
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.judging.untrained import measure_untrained, no_figures
from gan_core.evaluation.measuring import Measured, labels_of, measure, open_extractor, split_protocol
from gan_core.evaluation.metrics import (
    Comparison,
    ImageSet,
    Metric,
    chosen_metrics,
    statistics_needed,
)
from gan_core.evaluation.reference import load_reference
from gan_core.remedies import how_to_make
from gan_core.store import Build, Manifest, Store
from gan_core.store.reading import reading

logger = logging.getLogger("gan_core")
NAMED_CLASSES = 20


def evaluate_samples(
    store: Store,
    dataset: Dataset,
    samples: Manifest,
    reference: Manifest,
    classifier: Manifest | None,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Measure the samples of an experiment by its dataset's extractors and metrics: the asset `evaluation`.

    Figures are those of the first extractor: every figure of every metric, against the train images; its
    variants `_test` (against the test split), `_untrained` (of the generator before training, measured once
    per architecture and dataset) and `_floor` (of the reference). None where one does not apply, and for
    `_untrained` where the store no longer holds the training. Details: `protocol` (of the comparison with the
    train images), `samples`, `real_images` (of the train split), `samples_per_class`, and for each of
    `extractors` all figures, its `protocol` and the `protocols` of each figure. Files: see `write_evidence`.

    Too few samples, samples of another shape than the extractor's, labels of other classes, and a reference
    that was made with other weights are an `EvaluationError`.
    """
    step = steps.evaluation(dataset, samples, reference, classifier)
    _check_newest(store, samples)
    check_same_weights(dataset, step.config["extractors"], reference)
    metrics = chosen_metrics(dataset.evaluation.metrics)

    def build(work: Build) -> None:
        drawn = SampleSet.open(store, samples)
        train = TrainImages(store, reference)
        measured = {}
        found_by = measure_samples(store, dataset, samples, drawn, reference, classifier, emit)
        for name, (found, protocol) in found_by.items():
            write_evidence(work.folder, name, found.evidence, metrics, drawn.chosen, train.chosen)
            measured[name] = recorded(found, protocol, metrics)
        work.figures, work.details = figures_and_details(dataset, metrics, measured, reference)
        work.details |= {
            "samples": drawn.count,
            "samples_per_class": drawn.per_class(samples.details.get("classes") or []),
        }

    return step.produce(store, build, force=force, emit=emit)


@dataclass(frozen=True)
class SampleSet:
    """The images of a samples artefact."""

    tars: tuple[Path, ...]
    labels: tuple[int | None, ...]

    @classmethod
    def open(cls, store: Store, samples: Manifest) -> "SampleSet":
        """Verify the tars and read the labels."""
        names = sorted(name for name in samples.files if name.startswith("samples-"))
        tars = tuple(store.local(samples, name) for name in names)
        return cls(tars, tuple(label for tar in tars for _, _, label in read_tar(tar)))

    @property
    def count(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        return bool(self.labels) and None not in self.labels

    def images(self) -> Iterator[KeyedImage]:
        """(key, uint8 (C, H, W), class or None), a few images in memory: they are decoded ahead."""
        encoded = (sample for tar in self.tars for sample in read_tar(tar))
        return in_order(lambda sample: (sample[0], decode_png(sample[1]), sample[2]), encoded)

    def chosen(self, numbers: np.ndarray) -> torch.Tensor:
        """Those images, uint8 (n, C, H, W), in the order of `numbers`."""
        return images_numbered(self.images(), numbers)

    def per_class(self, classes: list[str]) -> dict[str, int]:
        """How many samples were asked for of each class; empty if none were."""
        counts = Counter(label for label in self.labels if label is not None)
        return {name: counts[index] for index, name in enumerate(classes)} if counts else {}


@dataclass(frozen=True)
class TrainImages:
    """The train images that a reference was made from."""

    store: Store
    reference: Manifest

    def chosen(self, numbers: np.ndarray) -> torch.Tensor:
        """Those images, uint8 (n, C, H, W), in the order of `numbers`."""
        name = self.reference.partition
        shards = self.store.read_manifest("image_shards", name, self.reference.inputs.get("image_shards", ""))
        if shards is None:
            raise EvaluationError(
                f"the shards that reference_statistics/{name} were made from are no longer in the store: "
                f"{how_to_make('reference_statistics', name)}"
            )
        rows, places = np.unique(numbers, return_inverse=True)
        return load_resident(self.store, shards, "train", numbers=rows).images[torch.from_numpy(places)]


# --- what is refused --------------------------------------------------------------------------------------


def _check_newest(store: Store, samples: Manifest) -> None:
    trained = store.current("trained_gan", samples.partition)
    if not store.is_made_from(samples, trained_gan=trained):
        raise EvaluationError(
            f"samples/{samples.partition} were drawn from an older training than the current one: draw "
            f"samples again first: {how_to_make('samples', samples.partition)}"
        )


def _check_sample_count(samples: Manifest, drawn: SampleSet, metrics: dict[str, Metric]) -> None:
    least = max(metric.least_images for metric in metrics.values())
    if drawn.count < least:
        raise EvaluationError(
            f"samples/{samples.partition} holds {drawn.count} samples, but an evaluation needs at least "
            f"{least}: raise the dataset's `evaluation.samples` and "
            f"{how_to_make('samples', samples.partition)}"
        )


def check_same_weights(dataset: Dataset, fingerprints: dict[str, str], reference: Manifest) -> None:
    """An `EvaluationError` where an extractor's weights (sha256) are not those of the reference."""
    with reading(f"reference_statistics/{dataset.name}", _make_reference(dataset)):
        made = {name: item["fingerprint"] for name, item in reference.details["extractors"].items()}
    for name, found in fingerprints.items():
        made_with = made.get(name)
        if made_with != found:
            raise EvaluationError(
                f"the reference statistics of {dataset.name} were made with {name} weights "
                f"{made_with and made_with[:12]}, but the {name} is now {found[:12]}: "
                f"{how_to_make('reference_statistics', dataset.name)}"
            )


def _make_reference(dataset: Dataset) -> str:
    return how_to_make("reference_statistics", dataset.name, force=True)


def _check_classes(extractor: FeatureExtractor, samples: Manifest) -> None:
    if not samples.details.get("conditional") or extractor.classes is None:
        return
    asked, known = tuple(samples.details["classes"]), extractor.classes
    if asked != known:
        raise EvaluationError(
            f"samples/{samples.partition} has the classes {_some(asked)}, but the classifier knows "
            f"{_some(known)}: train the classifier and the GAN on the same shards"
        )


def _some(classes: tuple[str, ...]) -> str:
    more = len(classes) - NAMED_CLASSES
    return ", ".join(classes[:NAMED_CLASSES]) + (f" and {more:,} more" if more > 0 else "")


# --- measuring --------------------------------------------------------------------------------------------


def measure_samples(
    store: Store,
    dataset: Dataset,
    samples: Manifest,
    drawn: SampleSet,
    reference: Manifest,
    classifier: Manifest | None,
    emit: Callable[[str], None],
) -> dict[str, tuple[Measured, str]]:
    """By each extractor of the dataset all figures of the samples that were drawn, and the protocol against
    the train images. Raises `EvaluationError` as `evaluate_samples` does."""
    metrics = chosen_metrics(dataset.evaluation.metrics)
    _check_sample_count(samples, drawn, metrics)
    untrained = _untrained(store, dataset, samples, reference, classifier, drawn.count, emit)
    measured = {}
    for name in dataset.evaluation.extractors:
        extractor = open_extractor(name, store, dataset, classifier)
        _check_classes(extractor, samples)
        generated = _gather(dataset, extractor, metrics, drawn, emit)
        emit(f"{name}: {', '.join(metrics)} of {drawn.count:,} samples")
        found, protocol = measure_against_reference(
            store, dataset, extractor, metrics, generated, reference, labels=labels_of(samples, dataset)
        )
        found.add(Measured(untrained[name]["figures"], untrained[name]["protocols"]))
        measured[name] = (found, protocol)
    return measured


def _figures(metrics: dict[str, Metric]) -> list[str]:
    """The names of all figures of these metrics, in order."""
    return [figure for metric in metrics.values() for figure in metric.all_figures]


def _gather(
    dataset: Dataset,
    extractor: FeatureExtractor,
    metrics: dict[str, Metric],
    drawn: SampleSet,
    emit: Callable[[str], None],
) -> ImageSet:
    accumulator = Accumulator(
        statistics_needed(metrics.values(), real=False),
        drawn.count,
        classes=extractor.n_classes is not None,
        # The labels are of the classes that the extractor knows only where those are the dataset's own.
        labels=extractor.classes is not None and drawn.labelled,
        seed=dataset.evaluation.seed,
    )
    progress = progress_of(extractor, f"{drawn.count:,} samples", drawn.count, emit)
    extract_into([Part(accumulator)], extractor, batched(drawn.images()), progress)
    return accumulator.finish()


def measure_against_reference(
    store: Store,
    dataset: Dataset,
    extractor: FeatureExtractor,
    metrics: dict[str, Metric],
    generated: ImageSet,
    reference: Manifest,
    **arrival: str | None,
) -> tuple[Measured, str]:
    """All figures of one extractor but `_untrained`, and the protocol against the train images.

    `arrival` says how the images came, where not as the dataset says: `labels`, `shape` and `resize` of
    `split_protocol`. `generated` holds what `statistics_needed(metrics.values(), real=False)` says. The floor
    stands on as many real images as samples, or there is none: of fewer an FID is higher, and no floor.
    """
    with reading(f"reference_statistics/{dataset.name}", _make_reference(dataset)):
        described = reference.details["extractors"][extractor.name]
        splits, real_hash = list(described["splits"]), reference.details["real_hash"]
        floor = described["floor"]["at_samples"]
        comparable = floor["samples"] == generated.count
        asked = {metric.main for metric in metrics.values()}
        figures = floor["figures"] if comparable else {}
        floors = {name: value for name, value in figures.items() if name in asked}
        floor_protocols = floor["protocols"]
    statistics = statistics_needed(metrics.values(), real=True)
    real = {split: load_reference(store, reference, extractor.name, split, statistics) for split in splits}
    protocols = {
        split: split_protocol(extractor, dataset, real_hash, split, generated.count, images.count, **arrival)
        for split, images in real.items()
    }
    seed = dataset.evaluation.seed
    of_train = Comparison(generated, real["train"], real.get("test"), seed=seed)
    found = measure(metrics, of_train, protocols["train"])
    if "test" in real:
        of_test = Comparison(generated, real["test"], seed=seed)
        found.add(measure(metrics, of_test, protocols["test"], variant="test"))
    found.add(
        Measured(
            {f"{name}_floor": value for name, value in floors.items()},
            {f"{name}_floor": text for name, text in floor_protocols.items() if name in floors},
        )
    )
    return found, str(protocols["train"])


def recorded(found: Measured, protocol: str, metrics: dict[str, Metric]) -> dict[str, Any]:
    """What an evaluation keeps of one extractor: every figure of the metrics, or None."""
    figures = {figure: found.figures.get(figure) for figure in _figures(metrics)}
    return {**figures, "protocol": protocol, "protocols": found.protocols}


def figures_and_details(
    dataset: Dataset, metrics: dict[str, Metric], measured: dict[str, dict[str, Any]], reference: Manifest
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Figures and details of an evaluation from what `recorded` keeps of each extractor: the first one's are
    the evaluation's own."""
    first = dataset.evaluation.extractors[0]
    figures = {figure: measured[first][figure] for figure in _figures(metrics)}
    details = {
        "protocol": measured[first]["protocol"],
        "real_images": _real_images(reference, first),
        "extractors": measured,
    }
    return figures, details


def _real_images(reference: Manifest, extractor: str) -> int:
    """How many train images a reference was made of."""
    with reading(f"reference_statistics/{reference.partition}"):
        return int(reference.details["extractors"][extractor]["splits"]["train"]["images"])


def _untrained(
    store: Store,
    dataset: Dataset,
    samples: Manifest,
    reference: Manifest,
    classifier: Manifest | None,
    count: int,
    emit: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Figures and protocols of the generator before training, by extractor."""
    fingerprint = samples.inputs.get("trained_gan")
    trained = fingerprint and store.read_manifest("trained_gan", samples.partition, fingerprint)
    if not trained:
        return no_figures(dataset)
    made = measure_untrained(store, dataset, trained, reference, classifier, count, emit=emit)
    return made.details["extractors"]
