"""Evaluation: from the samples of an experiment, or any images against any others, to figures with their
protocols."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.pixels import decode_png
from gan_core.data.tars import read_tar
from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier import load_classifier
from gan_core.evaluation.extraction import KeyedImage, Part, extract_into, progress_of
from gan_core.evaluation.features import ClassifierExtractor, FeatureExtractor, InceptionExtractor
from gan_core.evaluation.metrics import (
    INCEPTION_SCORE_SPLITS,
    METRICS,
    Accumulator,
    Figures,
    ImageSetStatistics,
    RealStatistics,
    check_metric_names,
    compute_metrics,
)
from gan_core.evaluation.paths import PathImages
from gan_core.evaluation.protocol import Protocol
from gan_core.evaluation.reference import (
    extractor_fingerprints,
    load_reference,
    open_extractor,
    split_protocol,
    with_kid_settings,
)
from gan_core.store import Build, Manifest, Store, default_store

FIGURES = (
    "fid",
    "kid",
    "inception_score",
    "inception_score_std",
    "fid_test",
    "kid_test",
    "fid_untrained",
    "fid_floor",
    "kid_floor",
    "class_accuracy",
)
logger = logging.getLogger("gan_core")


# --- the samples of an experiment -------------------------------------------------------------------------


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
    """Measure the samples of an experiment by its dataset's extractors: the asset `evaluation`.

    Figures are those of the first extractor: fid, kid (against train), fid_test, kid_test, inception_score
    and its std, fid_untrained (against train), class_accuracy (0..1), and the floors of the reference; None
    where one does not apply. Details: `protocol` (of `fid`), `samples`, `samples_per_class`, and for each of
    `extractors` all figures, its `protocol` and the `protocols` of each figure.

    Too few samples, samples of another shape than the extractor's, labels of other classes, and a reference
    that was made with other weights are an `EvaluationError`.
    """
    _check_newest(store, samples)
    fingerprints = extractor_fingerprints(dataset, classifier)
    _check_same_weights(dataset, fingerprints, reference)
    step = steps.evaluation(dataset, samples, reference, classifier)

    def build(work: Build) -> None:
        drawn = SampleSet.open(store, samples, "samples")
        untrained = SampleSet.open(store, samples, "untrained")
        _check_sample_counts(samples, drawn, untrained)
        measured = {}
        for name in dataset.evaluation.extractors:
            extractor = open_extractor(name, store, dataset, classifier)
            _check_classes(extractor, samples)
            measured[name] = _measure(store, dataset, extractor, drawn, untrained, reference, emit)
        first = measured[dataset.evaluation.extractors[0]]
        work.figures = {name: first[name] for name in FIGURES}
        work.details = {
            "protocol": first["protocol"],
            "samples": drawn.count,
            "samples_per_class": drawn.per_class(samples.details.get("classes") or []),
            "extractors": measured,
        }

    return step.produce(store, build, force=force)


@dataclass(frozen=True)
class SampleSet:
    """The tars of one kind (`samples` or `untrained`) of a samples artefact, and what they hold."""

    kind: str
    tars: tuple[Path, ...]
    labels: tuple[int | None, ...]

    @classmethod
    def open(cls, store: Store, samples: Manifest, kind: str) -> "SampleSet":
        """Verify the tars and read the labels."""
        names = sorted(name for name in samples.files if name.startswith(f"{kind}-"))
        tars = tuple(store.local(samples, name) for name in names)
        return cls(kind, tars, tuple(label for tar in tars for _, _, label in read_tar(tar)))

    @property
    def count(self) -> int:
        return len(self.labels)

    def images(self) -> Iterator[KeyedImage]:
        """(key, uint8 (C, H, W), class or None), one image in memory."""
        for tar in self.tars:
            for key, png, label in read_tar(tar):
                yield key, decode_png(png), label

    def per_class(self, classes: list[str]) -> dict[str, int]:
        """How many samples were asked for of each class; empty if none were."""
        counts = Counter(label for label in self.labels if label is not None)
        return {name: counts[index] for index, name in enumerate(classes)} if counts else {}


def _check_newest(store: Store, samples: Manifest) -> None:
    trained = store.current("trained_gan", samples.partition)
    if not store.is_made_from(samples, trained_gan=trained):
        raise EvaluationError(
            f"samples/{samples.partition} were drawn from an older training than the current one: "
            "materialise samples again first"
        )


def _check_sample_counts(samples: Manifest, drawn: SampleSet, untrained: SampleSet) -> None:
    if drawn.count < INCEPTION_SCORE_SPLITS:
        raise EvaluationError(
            f"samples/{samples.partition} holds {drawn.count} samples, but an evaluation needs at least "
            f"{INCEPTION_SCORE_SPLITS}: raise the dataset's `evaluation.samples` and draw them again"
        )
    if untrained.count == 1:
        raise EvaluationError(
            f"samples/{samples.partition} holds 1 untrained sample, but a covariance needs 2: draw them again"
        )


def _check_same_weights(dataset: Dataset, fingerprints: dict[str, str], reference: Manifest) -> None:
    for name, found in fingerprints.items():
        made_with = reference.details["extractors"].get(name, {}).get("fingerprint")
        if made_with != found:
            raise EvaluationError(
                f"the reference statistics of {dataset.name} were made with {name} weights "
                f"{made_with and made_with[:12]}, but the {name} is now {found[:12]}: "
                "materialise reference_statistics again"
            )


def _check_classes(extractor: FeatureExtractor, samples: Manifest) -> None:
    if not samples.details.get("conditional") or extractor.classes is None:
        return
    asked, known = tuple(samples.details["classes"]), extractor.classes
    if asked != known:
        raise EvaluationError(
            f"samples/{samples.partition} has the classes {', '.join(asked)}, but the classifier knows "
            f"{', '.join(known)}: train the classifier and the GAN on the same shards"
        )


def _measure(
    store: Store,
    dataset: Dataset,
    extractor: FeatureExtractor,
    drawn: SampleSet,
    untrained: SampleSet,
    reference: Manifest,
    emit: Callable[[str], None],
) -> dict[str, Any]:
    """All figures of one extractor, flat, with `protocol` and `protocols`."""
    described = reference.details["extractors"][extractor.name]
    fake = _statistics(dataset, extractor, drawn, emit)
    figures: Figures = dict.fromkeys(FIGURES)
    protocols: dict[str, str] = {}
    for split in described["splits"]:
        real = load_reference(store, reference, extractor.name, split)
        suffix = "" if split == "train" else f"_{split}"
        protocol = split_protocol(
            extractor, dataset, reference.details["real_hash"], split, drawn.count, real.frechet.count
        )
        for name, value in compute_metrics(["fid", "kid"], fake, real).items():
            figures[name + suffix] = value
        protocols[f"fid{suffix}"] = str(protocol)
        protocols[f"kid{suffix}"] = str(with_kid_settings(protocol, fake, real))
        if split != "train":
            continue
        protocols["inception_score"] = protocols["class_accuracy"] = str(protocol.without_real())
        if untrained.count:
            untouched = _statistics(dataset, extractor, untrained, emit)
            figures["fid_untrained"] = compute_metrics(["fid"], untouched, real)["fid"]
            protocols["fid_untrained"] = str(protocol.with_samples(untrained.count))
    figures |= compute_metrics(["is", "accuracy"], fake)
    floor = described["floor"]["at_samples"]
    figures |= {"fid_floor": floor["fid"], "kid_floor": floor["kid"]}
    protocols |= {"fid_floor": floor["protocol"], "kid_floor": floor["kid_protocol"]}
    return {
        **figures,
        "protocol": protocols["fid"],
        "protocols": {name: text for name, text in protocols.items() if figures[name] is not None},
    }


def _statistics(
    dataset: Dataset, extractor: FeatureExtractor, images: SampleSet, emit: Callable[[str], None]
) -> ImageSetStatistics:
    # An untrained generator's images are for the FID only, and may be too few for an Inception Score.
    scored = extractor.n_classes is not None and images.kind == "samples"
    accumulator = Accumulator(images.count, scored=scored, seed=dataset.evaluation.seed)
    progress = progress_of(extractor, f"{images.count:,} {images.kind}", images.count, emit)
    recognisable = extractor.classes is not None
    extract_into([Part(accumulator)], extractor, images.images(), progress, labelled=recognisable)
    return accumulator.finish()


# --- any images against any others ------------------------------------------------------------------------


def evaluate_paths(
    real: str,
    fake: str,
    *,
    extractor: str = "inception",
    metrics: list[str],
    weights: str | None = None,
    store: Store | None = None,
    classifier: Manifest | str | None = None,
    image_size: int | None = None,
    seed: int = 0,
    emit: Callable[[str], None] = logger.info,
) -> dict[str, Any]:
    """Measure the images under `fake` against those under `real`; a JSON-able dict of figures.

    Each place (a path or fsspec URL) is a folder, an archive (zip, tar) or WebDataset shards. `metrics` is
    a choice of fid, kid, is. `extractor` is `inception` (`weights`: path or URL instead of the download) or
    `classifier`, which `classifier` names: a manifest of `store`, or the path of a classifier.safetensors.
    With `image_size` all images become squares of that side; without, images of different sizes are an
    `EvaluationError`.

    Keys: real, fake, real_images, fake_images, the figures (fid, kid, kid_std, inception_score,
    inception_score_std), `protocol` (of fid) and `protocols` (of each figure).
    """
    check_metric_names(metrics)
    if "accuracy" in metrics:
        raise EvaluationError("class accuracy needs the classes that were asked for: evaluate an experiment")
    open_by_name = {
        "inception": lambda: InceptionExtractor(weights),
        "classifier": lambda: _named_classifier(store, classifier),
    }
    if extractor not in open_by_name:
        raise EvaluationError(f"there is no extractor `{extractor}`: choose from {', '.join(open_by_name)}")
    # Both places are looked through before a network is loaded or downloaded.
    cache = (store or default_store()).cache
    real_images, fake_images = PathImages(real, cache, emit), PathImages(fake, cache, emit)
    _check_path_counts(real_images, fake_images, metrics)
    network = open_by_name[extractor]()

    scored = "is" in metrics and network.n_classes is not None
    fake_statistics = _path_statistics(fake_images, network, image_size, scored, seed, emit)
    real_statistics = None
    if any(METRICS[name].against_real for name in metrics):
        found = _path_statistics(real_images, network, image_size, False, seed, emit)
        real_statistics = RealStatistics.of(found)
    figures = compute_metrics(metrics, fake_statistics, real_statistics)
    protocol = Protocol(
        extractor=network.name,
        weights=network.fingerprint[:12],
        samples=len(fake_images),
        real=real_images.name,
        real_images=len(real_images),
        real_hash=real_images.content_hash[:8],
        resize=_resize(network, image_size),
        seed=seed,
    )
    protocols = _path_protocols(figures, protocol, fake_statistics, real_statistics)
    return {
        "real": real,
        "fake": fake,
        "real_images": len(real_images),
        "fake_images": len(fake_images),
        **figures,
        "protocol": protocols.get("fid") or next(iter(protocols.values())),
        "protocols": protocols,
    }


def _check_path_counts(real: PathImages, fake: PathImages, metrics: list[str]) -> None:
    for images in (real, fake):
        least = INCEPTION_SCORE_SPLITS if "is" in metrics and images is fake else 2
        if len(images) < least:
            raise EvaluationError(
                f"{images.location} holds {len(images)} image{'s' if len(images) > 1 else ''}, but "
                f"{', '.join(metrics)} needs at least {least}: add images"
            )


def _named_classifier(store: Store | None, classifier: Manifest | str | None) -> ClassifierExtractor:
    if classifier is None:
        raise EvaluationError(
            "the extractor `classifier` needs a trained classifier, and none is named: materialise "
            "`classifier` for the dataset (or run `python -m gan_core evaluate EXPERIMENT`, which trains it) "
            "and name that dataset, or the path of a classifier.safetensors"
        )
    if isinstance(classifier, Manifest):
        return load_classifier(store, classifier)
    return ClassifierExtractor(classifier)


def _path_statistics(
    images: PathImages,
    extractor: FeatureExtractor,
    image_size: int | None,
    scored: bool,
    seed: int,
    emit: Callable[[str], None],
) -> ImageSetStatistics:
    channels = extractor.description.channels if isinstance(extractor, ClassifierExtractor) else 3
    accumulator = Accumulator(len(images), scored=scored, seed=seed)
    progress = progress_of(extractor, images.name, len(images), emit)
    extract_into([Part(accumulator)], extractor, images.decoded(channels, image_size), progress)
    return accumulator.finish()


def _resize(extractor: FeatureExtractor, image_size: int | None) -> str:
    steps = [f"{image_size}-bicubic-crop"] if image_size else []
    steps += [extractor.resize] if extractor.resize != "none" else []
    return ",".join(steps) or "none"


def _path_protocols(
    figures: Figures, protocol: Protocol, fake: ImageSetStatistics, real: RealStatistics | None
) -> dict[str, str]:
    found = {}
    if "fid" in figures:
        found["fid"] = str(protocol)
    if "kid" in figures:
        found["kid"] = str(with_kid_settings(protocol, fake, real))
    if "inception_score" in figures:
        found["inception_score"] = str(protocol.without_real())
    return found
