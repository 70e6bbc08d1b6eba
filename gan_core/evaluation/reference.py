"""The statistics of a dataset's real images, computed once for all experiments, and the real-against-real
floor: what FID and KID say of images that are real, under the same protocol."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.loading import iterate_images
from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier import CLASSIFIER_FILE, load_classifier
from gan_core.evaluation.extraction import Part, extract_into, progress_of
from gan_core.evaluation.features import (
    FeatureExtractor,
    InceptionExtractor,
    inception_fingerprint,
    inception_weights_file,
)
from gan_core.evaluation.metrics import (
    INCEPTION_SCORE_SPLITS,
    KID_SUBSETS,
    Accumulator,
    ImageSetStatistics,
    RealStatistics,
    compute_metrics,
    kid_subset_size,
)
from gan_core.evaluation.protocol import Protocol
from gan_core.evaluation.statistics import FrechetReference
from gan_core.store import Build, Manifest, Store

logger = logging.getLogger("gan_core")


def compute_reference_statistics(
    store: Store,
    dataset: Dataset,
    shards: Manifest,
    classifier: Manifest | None,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Statistics of every split by every extractor of the dataset: the asset `reference_statistics`.

    Files: `<extractor>-<split>.npz` with mu, sigma, sigma_sqrt, count, features (at most 10,000, for KID).
    Details: `extractors[name]` with fingerprint, splits (images, file), inception_score of the train images
    (None without classes), and `floor`, which holds FID and KID, each with its protocol, of

    - `test_against_train`: all test images against all train images (if there is a test split),
    - `train_halves`: one half of the train images, drawn by the seed, against the other,
    - `at_samples`: min(evaluation.samples, images available) real images drawn by the seed: test images
      against all train images, or, without a test split, images of one half of train against the other.

    Figures: `<extractor>_fid_floor`, `<extractor>_kid_floor` (those of `at_samples`) and
    `<extractor>_inception_score`. Too few images or missing weights are an `EvaluationError`.
    """
    _check_counts(dataset, shards)
    step = steps.reference_statistics(dataset, shards, classifier)

    def build(work: Build) -> None:
        described = {}
        for name in dataset.evaluation.extractors:
            extractor = open_extractor(name, store, dataset, classifier)
            described[name] = _measure(store, dataset, shards, extractor, work.folder, emit)
            floor = described[name]["floor"]["at_samples"]
            work.figures[f"{name}_fid_floor"] = floor["fid"]
            work.figures[f"{name}_kid_floor"] = floor["kid"]
            work.figures[f"{name}_inception_score"] = described[name]["inception_score"]
        work.details = {"real_hash": shards.fingerprint[:8], "extractors": described}

    return step.produce(store, build, force=force)


def load_reference(store: Store, reference: Manifest, extractor: str, split: str) -> RealStatistics:
    """The statistics of one split by one extractor."""
    file = reference.details["extractors"][extractor]["splits"][split]["file"]
    with np.load(store.local(reference, file), allow_pickle=False) as arrays:
        frechet = FrechetReference(arrays["mu"], arrays["sigma"], arrays["sigma_sqrt"], int(arrays["count"]))
        return RealStatistics(frechet, torch.from_numpy(arrays["features"]))


def extractor_fingerprints(dataset: Dataset, classifier: Manifest | None) -> dict[str, str]:
    """Each extractor of the dataset with the sha256 of its weights, without loading a network."""
    fingerprints = {}
    for name in dataset.evaluation.extractors:
        if name == "inception":
            path = inception_weights_file(dataset.evaluation.inception_weights)
            fingerprints[name] = inception_fingerprint(path)
        elif classifier is None:
            raise EvaluationError(
                f"{dataset.name} is evaluated by its classifier, but none is trained: "
                "materialise `classifier`"
            )
        else:
            fingerprints[name] = classifier.files[CLASSIFIER_FILE].sha256
    return fingerprints


def open_extractor(
    name: str, store: Store, dataset: Dataset, classifier: Manifest | None
) -> FeatureExtractor:
    """The extractor that a dataset's evaluation calls `name`."""
    if name == "inception":
        return InceptionExtractor(dataset.evaluation.inception_weights)
    return load_classifier(store, classifier)


def _check_counts(dataset: Dataset, shards: Manifest) -> None:
    for split, described in shards.details["splits"].items():
        least = INCEPTION_SCORE_SPLITS if split == "train" else 2
        if described["images"] < least:
            raise EvaluationError(
                f"the {split} split of {dataset.name} has {described['images']} images, but reference "
                f"statistics need at least {least}: give the dataset more images or raise its `limit`"
            )


def _measure(
    store: Store,
    dataset: Dataset,
    shards: Manifest,
    extractor: FeatureExtractor,
    folder: Path,
    emit: Callable[[str], None],
) -> dict[str, Any]:
    """Write an extractor's files into `folder`; return its part of the details."""
    seed = dataset.evaluation.seed
    counts = {split: values["images"] for split, values in shards.details["splits"].items()}
    scored = extractor.n_classes is not None
    parts = {
        split: {"all": Part(Accumulator(count, scored=scored, seed=seed))} for split, count in counts.items()
    }
    parts["train"] |= _halves(counts["train"], seed)
    drawn_from = "test" if "test" in counts else "train"
    parts[drawn_from]["drawn"] = _drawn(parts[drawn_from], counts[drawn_from], dataset)

    sets: dict[str, dict[str, ImageSetStatistics]] = {}
    for split, count in counts.items():
        progress = progress_of(extractor, f"{dataset.name} {split}", count, emit)
        extract_into(list(parts[split].values()), extractor, iterate_images(store, shards, split), progress)
        sets[split] = {name: part.accumulator.finish() for name, part in parts[split].items()}

    splits = {}
    real = {split: RealStatistics.of(statistics["all"]) for split, statistics in sets.items()}
    for split, count in counts.items():
        file = f"{extractor.name}-{split}.npz"
        _save(folder / file, real[split])
        splits[split] = {"images": count, "file": file}
    mean, deviation = sets["train"]["all"].inception_score or (None, None)
    return {
        "fingerprint": extractor.fingerprint,
        "splits": splits,
        "inception_score": mean,
        "inception_score_std": deviation,
        "floor": _floors(
            sets, real, functools.partial(split_protocol, extractor, dataset, shards.fingerprint[:8])
        ),
    }


def _halves(count: int, seed: int) -> dict[str, Part]:
    order = np.random.RandomState(seed).permutation(count)
    first = np.zeros(count, dtype=bool)
    first[order[: count // 2]] = True
    return {
        "half": Part(Accumulator(int(first.sum()), seed=seed), first),
        "other_half": Part(Accumulator(int((~first).sum()), seed=seed), ~first),
    }


def _drawn(parts: dict[str, Part], count: int, dataset: Dataset) -> Part:
    """As many real images as a generator is asked for, of all there are or of one half of them."""
    candidates = np.flatnonzero(parts["half"].chosen) if "half" in parts else np.arange(count)
    number = min(dataset.evaluation.samples, len(candidates))
    if number < 2:
        raise EvaluationError(
            f"{dataset.name}: evaluation.samples is {dataset.evaluation.samples}, but a covariance needs 2"
        )
    generator = np.random.RandomState(dataset.evaluation.seed)
    chosen = np.zeros(count, dtype=bool)
    chosen[generator.choice(candidates, number, replace=False)] = True
    return Part(Accumulator(number, seed=dataset.evaluation.seed), chosen)


def _floors(
    sets: dict[str, dict[str, ImageSetStatistics]],
    real: dict[str, RealStatistics],
    protocol: Callable[[str, int, int], Protocol],
) -> dict[str, dict[str, Any]]:
    other_half = RealStatistics.of(sets["train"]["other_half"])
    floors = {"train_halves": _floor(sets["train"]["half"], other_half, "train-half", protocol)}
    if "test" not in sets:
        floors["at_samples"] = _floor(sets["train"]["drawn"], other_half, "train-half", protocol)
        return floors
    floors["test_against_train"] = _floor(sets["test"]["all"], real["train"], "train", protocol)
    floors["at_samples"] = _floor(sets["test"]["drawn"], real["train"], "train", protocol)
    return floors


def _floor(
    drawn: ImageSetStatistics,
    real: RealStatistics,
    name: str,
    protocol: Callable[[str, int, int], Protocol],
) -> dict[str, Any]:
    """FID and KID of real images against real images, which `name` calls `train` or `train-half`."""
    measured_by = protocol(name, drawn.gaussian.count, real.frechet.count)
    return {
        **compute_metrics(["fid", "kid"], drawn, real),
        "samples": drawn.gaussian.count,
        "protocol": str(measured_by),
        "kid_protocol": str(with_kid_settings(measured_by, drawn, real)),
    }


def with_kid_settings(protocol: Protocol, fake: ImageSetStatistics, real: RealStatistics) -> Protocol:
    """The protocol of the KID that is measured beside the FID of `protocol`."""
    return protocol.with_kid(KID_SUBSETS, kid_subset_size(len(fake.features), len(real.features)))


def split_protocol(
    extractor: FeatureExtractor,
    dataset: Dataset,
    real_hash: str,
    split: str,
    samples: int,
    real_images: int,
) -> Protocol:
    """The protocol of a Frechet distance of `samples` images against a split of the dataset."""
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


def _save(path: Path, real: RealStatistics) -> None:
    np.savez(
        path,
        mu=real.frechet.mu,
        sigma=real.frechet.sigma,
        sigma_sqrt=real.frechet.sigma_sqrt,
        count=real.frechet.count,
        features=real.features.numpy(),
    )
