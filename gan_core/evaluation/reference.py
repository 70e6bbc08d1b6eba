"""The statistics of a dataset's real images, computed once for all experiments, and the real-against-real
floor: what the metrics say of images that are real, under the same protocol."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.loading import iterate_images
from gan_core.errors import EvaluationError
from gan_core.evaluation.extraction import Accumulator, Part, batched, extract_into, progress_of
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.measuring import measure, open_extractor, split_protocol
from gan_core.evaluation.metrics import (
    Comparison,
    ImageSet,
    Metric,
    Statistic,
    chosen_metrics,
    statistics_needed,
)
from gan_core.evaluation.protocol import Protocol
from gan_core.remedies import how_to_make
from gan_core.sampling import count_classes
from gan_core.store import Build, Manifest, Store
from gan_core.store.reading import reading

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

    Files: `<extractor>-<split>.npz` with the arrays of each statistic that a metric needs of real images, as
    `moments.mu`. Details: `class_counts` (how many train images each class has), and `extractors[name]` with
    fingerprint, splits (images, file), `figures` (of the train images by the metrics that compare with
    nothing), and `floor`, which holds for each of the following `samples` and the figures of the metrics that
    have a floor, each with its protocol in `protocols`:

    - `test_against_train`: all test images against all train images (if there is a test split),
    - `train_halves`: one half of the train images, drawn by the seed, against the other,
    - `at_samples`: as many real images as samples are drawn, or those available, drawn by the seed: test
      images against all train images, or, without a test split, of one half of train against the other.

    Figures: `<extractor>_<figure>_floor` (those of `at_samples`) and `<extractor>_<figure>` of the train
    images. Too few images or missing weights are an `EvaluationError`.
    """
    metrics = chosen_metrics(dataset.evaluation.metrics)
    _check_counts(dataset, shards, metrics)
    step = steps.reference_statistics(dataset, shards, classifier)

    def build(work: Build) -> None:
        described = {}
        for name in dataset.evaluation.extractors:
            extractor = open_extractor(name, store, dataset, classifier)
            images = RealImages(store, dataset, shards, extractor, metrics)
            described[name] = images.measure(work.folder, emit)
            floor = described[name]["floor"]["at_samples"]["figures"]
            work.figures |= {f"{name}_{figure}_floor": value for figure, value in floor.items()}
            work.figures |= {f"{name}_{key}": value for key, value in described[name]["figures"].items()}
        work.details = {
            "real_hash": shards.fingerprint[:8],
            "class_counts": count_classes(store, shards) if shards.details["classes"] else [],
            "extractors": described,
        }

    return step.produce(store, build, force=force, emit=emit)


def load_reference(
    store: Store, reference: Manifest, extractor: str, split: str, statistics: tuple[Statistic, ...]
) -> ImageSet:
    """These statistics of one split by one extractor, prepared as the real side of comparisons."""
    remedy = how_to_make("reference_statistics", reference.partition, force=True)
    with reading(f"reference_statistics/{reference.partition}", remedy):
        described = reference.details["extractors"][extractor]["splits"][split]
        file, images = str(described["file"]), int(described["images"])
    with np.load(store.local(reference, file), allow_pickle=False) as arrays:
        values = {item.name: _of_arrays(item, arrays) for item in statistics}
    return ImageSet(images, {name: value for name, value in values.items() if value is not None})


def _of_arrays(statistic: Statistic, arrays) -> Any:
    prefix = f"{statistic.name}."
    found = {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
    return statistic.of_arrays(found) if found else None


def _check_counts(dataset: Dataset, shards: Manifest, metrics: dict[str, Metric]) -> None:
    for split, described in shards.details["splits"].items():
        least = max(metric.least_images for metric in metrics.values()) if split == "train" else 2
        if described["images"] < least:
            raise EvaluationError(
                f"the {split} split of {dataset.name} has {described['images']} images, but reference "
                f"statistics need at least {least}: give the dataset more images or raise its `limit`"
            )


class RealImages:
    """The real images of a dataset by one extractor: all of each split, and the parts that floors need."""

    def __init__(
        self,
        store: Store,
        dataset: Dataset,
        shards: Manifest,
        extractor: FeatureExtractor,
        metrics: dict[str, Metric],
    ):
        self.store, self.dataset, self.shards, self.extractor = store, dataset, shards, extractor
        self.seed = dataset.evaluation.seed
        self.real = statistics_needed(metrics.values(), real=True)
        # Real images were asked of no generator: what is said of labels asked for does not apply.
        self.alone = {
            name: metric for name, metric in metrics.items() if not (metric.real or metric.needs_labels)
        }
        self.with_floor = {name: metric for name, metric in metrics.items() if "floor" in metric.variants}
        self.counts = {split: values["images"] for split, values in shards.details["splits"].items()}

    def measure(self, folder: Path, emit: Callable[[str], None]) -> dict[str, Any]:
        """Write the extractor's files into `folder`; return its part of the details."""
        sets = self._gather(emit)
        train = sets["train"]["all"]
        emit(f"{self.extractor.name}: what every comparison with {self.dataset.name} needs, once for all")
        real = {
            split: parts["all"].prepared(self.real, train if split == "test" else None)
            for split, parts in sets.items()
        }
        splits = {}
        for split, count in self.counts.items():
            file = f"{self.extractor.name}-{split}.npz"
            self._save(folder / file, real[split])
            splits[split] = {"images": count, "file": file}
        protocol = functools.partial(
            split_protocol, self.extractor, self.dataset, self.shards.fingerprint[:8]
        )
        measured = measure(
            self.alone, Comparison(train, seed=self.seed), protocol("train", train.count, train.count)
        )
        return {
            "fingerprint": self.extractor.fingerprint,
            "splits": splits,
            "figures": measured.figures,
            "floor": self._floors(sets, real, protocol),
        }

    def _gather(self, emit: Callable[[str], None]) -> dict[str, dict[str, ImageSet]]:
        """One pass over each split for all its parts."""
        parts = {split: {"all": self._all(split)} for split in self.counts}
        parts["train"] |= self._halves()
        drawn_from = "test" if "test" in self.counts else "train"
        parts[drawn_from]["drawn"] = self._drawn(parts[drawn_from], self.counts[drawn_from])
        for split, count in self.counts.items():
            progress = progress_of(self.extractor, f"{self.dataset.name} {split}", count, emit)
            images = batched(iterate_images(self.store, self.shards, split))
            extract_into(list(parts[split].values()), self.extractor, images, progress)
        return {
            split: {name: part.accumulator.finish() for name, part in of_split.items()}
            for split, of_split in parts.items()
        }

    def _all(self, split: str) -> Part:
        alone = statistics_needed(self.alone.values(), real=False) if split == "train" else ()
        return self._part(self.counts[split], None, alone)

    def _part(self, count: int, chosen: np.ndarray | None, also: tuple[Statistic, ...] = ()) -> Part:
        """`count` images of a split, on either side of a floor, and what is gathered of them."""
        generated = statistics_needed(self.with_floor.values(), real=False)
        statistics = (*self.real, *generated, *also)
        accumulator = Accumulator(
            statistics,
            count,
            classes=self.extractor.n_classes is not None,
            labels=self.extractor.classes is not None and self.dataset.labelled,
            seed=self.seed,
        )
        return Part(accumulator, chosen)

    def _halves(self) -> dict[str, Part]:
        count = self.counts["train"]
        order = np.random.RandomState(self.seed).permutation(count)
        first = np.zeros(count, dtype=bool)
        first[order[: count // 2]] = True
        return {
            "half": self._part(int(first.sum()), first),
            "other_half": self._part(int((~first).sum()), ~first),
        }

    def _drawn(self, parts: dict[str, Part], count: int) -> Part:
        """As many real images as a generator is asked for, of all there are or of one half of them."""
        candidates = np.flatnonzero(parts["half"].chosen) if "half" in parts else np.arange(count)
        samples = steps.sample_count(self.dataset, self.shards)
        number = min(samples, len(candidates))
        if number < 2:
            raise EvaluationError(
                f"{self.dataset.name}: evaluation.samples is {samples}, but a covariance needs 2"
            )
        chosen = np.zeros(count, dtype=bool)
        chosen[np.random.RandomState(self.seed).choice(candidates, number, replace=False)] = True
        return self._part(number, chosen)

    def _floors(
        self,
        sets: dict[str, dict[str, ImageSet]],
        real: dict[str, ImageSet],
        protocol: Callable[[str, int, int], Protocol],
    ) -> dict[str, dict[str, Any]]:
        train, other_half = sets["train"], sets["train"]["other_half"].prepared(self.real)
        floors = {"train_halves": self._floor(train["half"], other_half, "train-half", protocol)}
        if "test" not in sets:
            floors["at_samples"] = self._floor(train["drawn"], other_half, "train-half", protocol)
            return floors
        test = sets["test"]
        floors["test_against_train"] = self._floor(test["all"], real["train"], "train", protocol)
        floors["at_samples"] = self._floor(test["drawn"], real["train"], "train", protocol)
        return floors

    def _floor(
        self, drawn: ImageSet, real: ImageSet, name: str, protocol: Callable[[str, int, int], Protocol]
    ) -> dict[str, Any]:
        """Real images against real images, which `name` calls `train` or `train-half`."""
        comparison = Comparison(drawn, real, seed=self.seed)
        measured = measure(self.with_floor, comparison, protocol(name, drawn.count, real.count))
        return {
            "figures": {metric.main: measured.figures[metric.main] for metric in self.with_floor.values()},
            "protocols": measured.protocols,
            "samples": drawn.count,
        }

    def _save(self, path: Path, real: ImageSet) -> None:
        arrays = {
            f"{statistic.name}.{name}": array
            for statistic in self.real
            if statistic in real
            for name, array in statistic.to_arrays(real[statistic]).items()
        }
        np.savez(path, **arrays)
