"""What images are compared with: other images, statistics of images in a file, or a split of a dataset whose
statistics the store holds."""

import abc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gan_core.errors import EvaluationError
from gan_core.evaluation.evaluate import check_same_weights, measure_against_reference
from gan_core.evaluation.extraction import Accumulator, Part, batched, extract_into, progress_of
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.inputs.base import Images
from gan_core.evaluation.inputs.splits import StoredSplit
from gan_core.evaluation.inputs.statistics_files import StatisticsFile
from gan_core.evaluation.measuring import Measured, measure, protocol_of, split_protocol
from gan_core.evaluation.metrics import Comparison, ImageSet, Metric, Statistic, statistics_needed
from gan_core.evaluation.metrics.base import MOMENTS
from gan_core.evaluation.reference import load_reference
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian
from gan_core.store import Store


@dataclass
class Arrival:
    """How generated images come to an extractor: as they are, or brought to `image_size`."""

    images: Images
    image_size: int | None

    @property
    def resize(self) -> str:
        return resize_word(self.image_size)


def resize_word(image_size: int | None) -> str:
    """What `Images.decoded` does to sizes, as protocols have it."""
    return f"{image_size}-bicubic-crop" if image_size else "none"


class Real(abc.ABC):
    """One of the things that images are compared with.

    `location` is where it is; `images` counts them (None: not known); `size` is their own (width, height),
    None where it is not known or not one; `left_out` are damaged ones; `channels` is what both sides are
    decoded to, None: what the extractor is best given.
    """

    location: str
    images: int | None
    size: tuple[int, int] | None = None
    channels: int | None = None
    left_out: tuple[tuple[str, str], ...] | list[tuple[str, str]] = ()

    @abc.abstractmethod
    def why_not(self, metric: Metric) -> str | None:
        """Why a metric cannot be measured against this, as the end of a sentence; None where it can."""

    @abc.abstractmethod
    def check(self, extractor: FeatureExtractor) -> None:
        """An `EvaluationError` where this cannot stand beside images that this extractor sees."""

    @abc.abstractmethod
    def compare(
        self,
        extractor: FeatureExtractor,
        metrics: dict[str, Metric],
        generated: ImageSet,
        arrival: Arrival,
        emit: Callable[[str], None],
    ) -> tuple[Measured, str]:
        """The figures of generated images, and the protocol of the comparison."""

    @abc.abstractmethod
    def moments(
        self, extractor: FeatureExtractor, emit: Callable[[str], None]
    ) -> tuple[Gaussian | FrechetReference, str]:
        """Mean and covariance for a file of statistics, and the images' shape (see `Protocol`)."""

    def is_same(self, images: Images, gathered: ImageSet, extractor: FeatureExtractor) -> bool:
        """Whether these images, of which `gathered` holds the features' moments, are known to be the same.

        Here: as many, of the same mean to a ten-thousandth of the deviation, in every dimension. The means of
        two samples of one distribution differ by more wherever there are fewer than 10^8 images.
        """
        if MOMENTS not in gathered or gathered.count != self.images:
            return False
        real, found = self.moments(extractor, lambda _: None)[0], gathered[MOMENTS]
        return bool((np.abs(real.mu - found.mu) <= 1e-4 * np.sqrt(np.diag(real.sigma)) + 1e-12).all())


def gather(
    images: Images,
    extractor: FeatureExtractor,
    statistics: tuple[Statistic, ...],
    *,
    channels: int | None,
    image_size: int | None,
    seed: int,
    emit: Callable[[str], None],
) -> ImageSet:
    """What these statistics gather of images, in one pass over them."""
    classes = extractor.n_classes is not None
    accumulator = Accumulator(statistics, len(images), classes=classes, seed=seed)
    progress = progress_of(extractor, images.name, len(images), emit)
    decoded = batched(images.decoded(channels or extractor.channels, image_size))
    extract_into([Part(accumulator)], extractor, decoded, progress)
    return accumulator.finish()


class RealImages(Real):
    """Images; `held_out` are others that nothing was trained on, where they are known."""

    def __init__(self, images: Images, held_out: Images | None, image_size: int | None, seed: int):
        self.source, self.held_out, self.image_size, self.seed = images, held_out, image_size, seed
        self.location, self.images, self.size = images.location, len(images), images.size
        self.left_out = images.left_out

    def why_not(self, metric: Metric) -> str | None:
        if metric.held_out and self.held_out is None:
            return "needs real images that were not trained on, too: name them with --held-out"
        return None

    def check(self, extractor: FeatureExtractor) -> None:
        """Whatever the extractor accepts."""

    def compare(self, extractor, metrics, generated, arrival, emit):
        """See `Real.compare`."""
        needed = statistics_needed(metrics.values(), real=True)
        compared = held_out = None
        if needed:
            real = self._gather(self.source, extractor, needed, emit)
            if self.held_out is not None:
                held_out = self._gather(self.held_out, extractor, needed, emit)
                self._check_held_out()
                held_out = held_out.prepared(needed, real)
            compared = real.prepared(needed)
        protocol = protocol_of(
            extractor,
            samples=generated.count,
            real=self.source.name,
            real_images=len(self.source),
            real_hash=self.source.content_hash[:8],
            shape=arrival.images.shape,
            real_shape=self.source.shape,
            given_channels=extractor.channels,
            resize=arrival.resize,
            seed=self.seed,
        )
        comparison = Comparison(generated, compared, held_out, seed=self.seed)
        found = measure(metrics, comparison, protocol)
        return found, str(protocol if compared else protocol.without_real())

    def _check_held_out(self) -> None:
        """Images beside themselves would clear every copier."""
        if self.held_out.content_hash == self.source.content_hash:
            raise EvaluationError(
                f"{self.held_out.location} holds the same images as {self.source.location}: name images that "
                "nothing was trained on with --held-out"
            )

    def moments(self, extractor, emit):
        """See `Real.moments`."""
        return self._gather(self.source, extractor, (MOMENTS,), emit)[MOMENTS], self.source.shape

    def is_same(self, images, gathered, extractor):
        """See `Real.is_same`: here their content is known."""
        return self.source.content_hash == images.content_hash

    def _gather(self, images, extractor, statistics, emit) -> ImageSet:
        return gather(
            images,
            extractor,
            statistics,
            channels=None,
            image_size=self.image_size,
            seed=self.seed,
            emit=emit,
        )


class RealStatistics(Real):
    """The moments of images in a file: metrics that need no more can be measured against it."""

    def __init__(self, file: StatisticsFile, seed: int):
        self.file, self.seed = file, seed
        self.location, self.images = file.location, file.images

    def why_not(self, metric: Metric) -> str | None:
        more = [statistic.name for statistic in metric.real if statistic is not MOMENTS]
        if more or metric.held_out:
            return f"needs {', '.join(more)} of the real images, and a file of statistics has moments only"
        return None

    def check(self, extractor: FeatureExtractor) -> None:
        self.file.image_set(extractor)

    def compare(self, extractor, metrics, generated, arrival, emit):
        """See `Real.compare`."""
        self.file.require_dimensions(
            len(generated[MOMENTS].mu) if MOMENTS in generated else 0, extractor.name
        )
        protocol = protocol_of(
            extractor,
            samples=generated.count,
            real=self.file.name,
            real_images=self.file.images,
            real_hash=self.file.content_hash[:8],
            shape=arrival.images.shape,
            real_shape=self.file.shape,
            given_channels=extractor.channels,
            resize=arrival.resize,
            seed=self.seed,
        )
        comparison = Comparison(generated, self.file.image_set(extractor), seed=self.seed)
        return measure(metrics, comparison, protocol), str(protocol)

    def moments(self, extractor, emit):
        """See `Real.moments`."""
        return self.file.gaussian, self.file.shape or "unknown"


class RealSplit(Real):
    """A split of a dataset, by the statistics that the store holds of it."""

    def __init__(self, split: StoredSplit, store: Store):
        self.split, self.store, self.dataset = split, store, split.dataset
        self.location = split.location
        self.channels = split.dataset.channels
        self.size = (split.dataset.image_size, split.dataset.image_size)
        # Every extractor's part of the reference counts the same images.
        parts = split.reference.details["extractors"].values()
        counts = [part["splits"][split.split]["images"] for part in parts if split.split in part["splits"]]
        if not counts:
            raise EvaluationError(f"{split.dataset.name} has no split `{split.split}`: choose another")
        self.images = counts[0]

    def why_not(self, metric: Metric) -> str | None:
        if not metric.held_out:
            return None
        if self.split.split == "test":
            return f"compares with the train split: name {self.dataset.name}/train"
        parts = self.split.reference.details["extractors"].values()
        if not all("test" in part["splits"] for part in parts):
            return f"needs a test split, which {self.dataset.name} has not"
        return None

    def check(self, extractor: FeatureExtractor) -> None:
        known = self.split.reference.details["extractors"]
        if extractor.name not in known:
            raise EvaluationError(
                f"the reference statistics of {self.dataset.name} are of {', '.join(known)}, not of "
                f"{extractor.name}: add it to the dataset's `evaluation.extractors` and make them again"
            )
        check_same_weights(self.dataset, {extractor.name: extractor.fingerprint}, self.split.reference)

    def compare(self, extractor, metrics, generated, arrival, emit):
        """See `Real.compare`: with the train split as the asset `evaluation` does it."""
        arrived = {"shape": arrival.images.shape, "resize": arrival.resize}
        reference = self.split.reference
        if self.split.split == "train":
            return measure_against_reference(
                self.store, self.dataset, extractor, metrics, generated, reference, **arrived
            )
        needed = statistics_needed(metrics.values(), real=True)
        real = load_reference(self.store, reference, extractor.name, "test", needed)
        real_hash = reference.details["real_hash"]
        protocol = split_protocol(
            extractor, self.dataset, real_hash, "test", generated.count, real.count, **arrived
        )
        comparison = Comparison(generated, real, seed=self.dataset.evaluation.seed)
        return measure(metrics, comparison, protocol), str(protocol)

    def moments(self, extractor, emit):
        """See `Real.moments`."""
        found = load_reference(self.store, self.split.reference, extractor.name, self.split.split, (MOMENTS,))
        if MOMENTS not in found:
            raise EvaluationError(
                f"the reference statistics of {self.dataset.name} hold no moments: add `fid` to its metrics"
            )
        side = self.dataset.image_size
        return found[MOMENTS], f"{side}x{side}x{self.dataset.channels}"
