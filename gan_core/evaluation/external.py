"""Samples from elsewhere on the leaderboard: images of a published model, measured as those of an experiment.

What finds and removes such rows imports no torch."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pydantic

from gan_core import steps
from gan_core.config import Dataset, Name
from gan_core.config.datasets import LabelPolicy
from gan_core.errors import ConfigError, EvaluationError, StoreError
from gan_core.secrets import masked
from gan_core.store import Build, Manifest, Store
from gan_core.versions import CODE_VERSIONS

if TYPE_CHECKING:
    import numpy as np
    import torch

    from gan_core.evaluation.inputs import Images

logger = logging.getLogger("gan_core")
ASSET = "external_evaluation"


def external_evaluations(store: Store, damaged: dict[str, str] | None = None) -> dict[str, Manifest]:
    """The rows from elsewhere that the store holds, by name; `damaged` as `Store.all_current` fills it."""
    return store.all_current(ASSET, store.list_names(ASSET), damaged)


def remove_external(store: Store, name: str) -> None:
    """Take a row from elsewhere off the leaderboard; a `StoreError` that names those there are."""
    names = store.list_names(ASSET)
    if name not in names:
        known = f"there are {', '.join(names)}" if names else "there are none"
        raise StoreError(f"no row from elsewhere is called `{name}`: {known}")
    store.remove(f"{ASSET}/{name}")


def evaluate_external(
    store: Store,
    dataset: Dataset,
    name: str,
    location: str,
    *,
    reference: Manifest,
    classifier: Manifest | None,
    description: str = "",
    image_size: int | None = None,
    labels: LabelPolicy | None = None,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Measure images (see `open_images`) by a dataset's extractors and metrics: `external_evaluation/<name>`.

    Figures, details (`protocol`, `samples`, `extractors`) and files are those of the asset `evaluation`, but
    for what nobody knows of such images: the classes that were asked for, and the untrained generator.
    Details also has `warnings` and `left_out` (damaged images). The configuration has the dataset, where the
    images are (without passwords), the description, and the hash of the images' content: what counts is the
    content, not the place or the description.

    `labels` says how classes were asked for, where that is known and not as the dataset says. Images of
    another size than the dataset's are an `EvaluationError`, unless `image_size` brings them to it.
    """
    from gan_core.evaluation.inputs import open_images
    from gan_core.evaluation.inputs.real import resize_word

    _check_name(name)
    images = open_images(location, store.cache, emit)
    _check_size(images, dataset, image_size)
    metrics = steps.chosen_metrics(dataset.evaluation.metrics)
    least = max(metric.least_images for metric in metrics.values())
    if len(images) < least:
        raise EvaluationError(
            f"{images.location} holds {len(images)} images, but {least} are needed: add images"
        )
    for _ in images.decoded(dataset.channels, image_size):
        pass  # all of them are read once before anything is measured: what they are decides the artefact
    arrived = {
        "shape": images.shape,
        "resize": resize_word(image_size),
        "labels": labels or dataset.evaluation.labels,
    }
    step = _step(dataset, name, images, arrived, reference, classifier, description)

    def build(work: Build) -> None:
        _measure(work, store, dataset, images, image_size, arrived, reference, classifier, emit)

    before = store.all_current(ASSET, [name]).get(name)
    if before and before.config.get("content") != step.config["content"]:
        emit(f"{name}: the row of other images, from {before.config.get('source')}, is replaced")
    made = step.produce(store, build, force=force, emit=emit)
    for warning in made.details["warnings"]:
        emit(f"warning: {warning}")
    return made


def _check_name(name: str) -> None:
    try:
        pydantic.TypeAdapter(Name).validate_python(name)
    except pydantic.ValidationError as error:
        raise ConfigError(
            f"`{name}` is no name of a row: lower-case letters, digits, - and ., at most 100"
        ) from error


def _check_size(images: "Images", dataset: Dataset, image_size: int | None) -> None:
    side = dataset.image_size
    if image_size not in (None, side):
        raise EvaluationError(
            f"image_size is {image_size}, but the images of {dataset.name} are {side}: say {side}"
        )
    if image_size is None and images.size != (side, side):
        found = "x".join(map(str, images.size)) if images.size else "of several sizes"
        raise EvaluationError(
            f"the images of {images.location} are {found}, but those of {dataset.name} {side}x{side}: bring "
            f"them to that size by --image-size {side} (the protocol then says so)"
        )


def _step(
    dataset: Dataset,
    name: str,
    images: "Images",
    arrived: dict[str, str],
    reference: Manifest,
    classifier: Manifest | None,
    description: str,
) -> steps.Step:
    measured = steps.evaluation_config(dataset, classifier)
    counts = {
        **measured,
        "dataset": dataset.name,
        "content": images.content_hash,
        "samples": len(images),
        **arrived,
        "code": CODE_VERSIONS["evaluation"],
    }
    config = {**counts, "source": masked(images.location), "description": description}
    inputs = {"reference_statistics": reference, **steps.classifier_input(dataset, classifier)}
    return steps.Step(ASSET, name, config, inputs, counts)


def _measure(
    work: Build,
    store: Store,
    dataset: Dataset,
    images: "Images",
    image_size: int | None,
    arrived: dict[str, str],
    reference: Manifest,
    classifier: Manifest | None,
    emit: Callable[[str], None],
) -> None:
    from gan_core.evaluation.evaluate import (
        TrainImages,
        check_same_weights,
        figures_and_details,
        measure_against_reference,
        recorded,
    )
    from gan_core.evaluation.evaluate_paths import warnings_of
    from gan_core.evaluation.evidence import write_evidence
    from gan_core.evaluation.extraction import images_numbered
    from gan_core.evaluation.inputs.real import RealSplit, gather
    from gan_core.evaluation.inputs.splits import StoredSplit
    from gan_core.evaluation.measuring import open_extractor
    from gan_core.evaluation.metrics import statistics_needed

    metrics = steps.chosen_metrics(dataset.evaluation.metrics)
    train = TrainImages(store, reference)

    def chosen(numbers: "np.ndarray") -> "torch.Tensor":
        return images_numbered(images.decoded(dataset.channels, image_size), numbers)

    measured, warnings = {}, []
    for name in dataset.evaluation.extractors:
        extractor = open_extractor(name, store, dataset, classifier)
        check_same_weights(dataset, {name: extractor.fingerprint}, reference)
        generated = gather(
            images,
            extractor,
            statistics_needed(metrics.values(), real=False),
            channels=dataset.channels,
            image_size=image_size,
            seed=dataset.evaluation.seed,
            emit=emit,
        )
        found, protocol = measure_against_reference(
            store, dataset, extractor, metrics, generated, reference, **arrived
        )
        write_evidence(work.folder, name, found.evidence, metrics, chosen, train.chosen)
        measured[name] = recorded(found, protocol, metrics)
        real = RealSplit(StoredSplit(dataset, "train", reference, classifier), store)
        warnings += warnings_of(images, generated, real, extractor, metrics)
    work.figures, work.details = figures_and_details(dataset, metrics, measured, reference)
    work.details |= {
        "samples": len(images),
        "samples_per_class": {},
        "warnings": list(dict.fromkeys(warnings)),
        "left_out": [f"{name} ({reason})" for name, reason in images.left_out],
    }
