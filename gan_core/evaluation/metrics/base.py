"""What a metric is, and the statistics that several of them share."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from gan_core.evaluation.figures import FIGURES, Figure, percent
from gan_core.registry import register, sort_by_position

if TYPE_CHECKING:
    import numpy
    import torch

Figures = dict[str, float | None]
# What is looked at within each class has too few images of one where there are more classes than this, and
# nobody reads so many figures.
MOST_CLASSES = 100


# --- statistics: what is gathered of a set of images ------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Some images of a set, as an extractor sees them.

    `images` uint8 (B, C, H, W), `features` (B, D), `logits` (B, K) or None where the extractor has no
    classes, `labels` int64 (B,) or None where the images have no labels that the extractor knows.
    """

    images: "torch.Tensor"
    features: "torch.Tensor"
    logits: "torch.Tensor | None" = None
    labels: "torch.Tensor | None" = None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def has_few_classes(self) -> bool:
        """Whether there are few enough to look within each."""
        return self.logits is None or self.logits.shape[1] <= MOST_CLASSES

    def chosen(self, mask: "torch.Tensor") -> "Batch":
        """Those images of the batch for which `mask` (B,) bool is true."""
        here = mask.to(self.features.device)
        return Batch(
            self.images[mask],
            self.features[here],
            None if self.logits is None else self.logits[here],
            None if self.labels is None else self.labels[mask],
        )


class Gatherer(abc.ABC):
    """Sees the batches of a set of images once, in order."""

    @abc.abstractmethod
    def update(self, batch: Batch) -> None:
        """Add the next images."""

    @abc.abstractmethod
    def finish(self) -> Any:
        """The value of the statistic."""


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Statistic:
    """What is gathered of a set of images in one pass over them, whatever the number of metrics that need it.

    `gather(count, seed)` begins with the number of images. `needs`: it is left out where the extractor's
    logits are not of classes (`classes`), or where the images have no labels that the extractor knows
    (`labels`). Of real images, which many generated ones are compared with, `prepare` makes of the value
    what is kept, and `to_arrays` and `of_arrays` write and read that as named arrays.

    Without `gather` it is of real images only, and is not gathered: `derive` computes it from what else was
    gathered of the set, once for all experiments; for the test split it is given the train images as well.
    None where that was not gathered.
    """

    name: str
    gather: Callable[[int, int], Gatherer] | None = None
    needs: Literal["features", "classes", "labels"] = "features"
    prepare: Callable[[Any], Any] = _unchanged
    derive: "Callable[[ImageSet, ImageSet | None], Any] | None" = None
    to_arrays: "Callable[[Any], dict[str, numpy.ndarray]] | None" = None
    of_arrays: "Callable[[dict[str, numpy.ndarray]], Any] | None" = None


@dataclass(frozen=True)
class ImageSet:
    """What was gathered of `count` images: `image_set[MOMENTS]` is the value of a statistic."""

    count: int
    values: dict[str, Any]

    def __getitem__(self, statistic: Statistic) -> Any:
        return self.values[statistic.name]

    def __contains__(self, statistic: Statistic) -> bool:
        return self.values.get(statistic.name) is not None

    def prepared(self, statistics: tuple[Statistic, ...], train: "ImageSet | None" = None) -> "ImageSet":
        """The same images as the real side of comparisons; `train`: the train images, of which these are the
        test split."""
        kept = {item.name: item.prepare(self[item]) for item in statistics if item in self}
        derived = {item.name: item.derive(self, train) for item in statistics if item.derive}
        return ImageSet(self.count, {**kept, **derived})


def _gather_moments(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.moments import GatheredMoments

    return GatheredMoments()


def _gather_features(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.moments import GatheredFeatures

    return GatheredFeatures(count, seed)


def _gather_pixels(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.moments import GatheredPixels

    return GatheredPixels(count, seed)


def _with_root(gaussian: Any) -> Any:
    from gan_core.evaluation.statistics.moments import FrechetReference

    return FrechetReference.of(gaussian)


def _moments_to_arrays(reference: Any) -> dict[str, Any]:
    return {name: getattr(reference, name) for name in ("mu", "sigma", "sigma_sqrt", "count")}


def _moments_of_arrays(arrays: dict[str, Any]) -> Any:
    from gan_core.evaluation.statistics.moments import FrechetReference

    return FrechetReference(arrays["mu"], arrays["sigma"], arrays["sigma_sqrt"], int(arrays["count"]))


def _rows_to_arrays(rows: Any) -> dict[str, Any]:
    return {"rows": rows.numpy()}


def _rows_of_arrays(arrays: dict[str, Any]) -> Any:
    import torch

    return torch.from_numpy(arrays["rows"])


# A `Gaussian`; of real images a `FrechetReference`, which has the root of the covariance too.
MOMENTS = Statistic(
    "moments",
    _gather_moments,
    prepare=_with_root,
    to_arrays=_moments_to_arrays,
    of_arrays=_moments_of_arrays,
)
# float32 (n, D): the features of all images, or of `MAX_KEPT` that the seed chooses.
FEATURES = Statistic("features", _gather_features, to_arrays=_rows_to_arrays, of_arrays=_rows_of_arrays)
# uint8 (n, C * S * S): the same images, brought to a side S of at most `PIXELS_SIDE` by averages.
PIXELS = Statistic("pixels", _gather_pixels, to_arrays=_rows_to_arrays, of_arrays=_rows_of_arrays)


# --- metrics ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """What a metric is computed from.

    `real` are the images compared with: one split of the dataset, or any images; None where none are given.
    `held_out` are real images that were not trained on, for metrics that look at both; None without a test
    split. Both are prepared as the real side. `seed` is that of the evaluation.
    """

    generated: ImageSet
    real: ImageSet | None = None
    held_out: ImageSet | None = None
    seed: int = 0
    _known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several metrics of this comparison need, made by the first that asks for it."""
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]


Interval = tuple[float, float]
# Gives the images of these numbers (n,) as uint8 (n, C, H, W).
ImagesOf = Callable[["numpy.ndarray"], "torch.Tensor"]

# What a reader wants to know, in the order in which figures are shown, with its words.
Question = Literal["distance", "quality", "variety", "copying", "classes"]
QUESTIONS: dict[Question, str] = {
    "distance": "How far from real images",
    "quality": "How good single images are",
    "variety": "How much of the data they reach",
    "copying": "Whether they are copies",
    "classes": "Classes",
}
Variant = Literal["untrained", "test", "floor"]
# Their labels and explanations, where the metric has no explanation of its own.
VARIANTS: dict[str, tuple[str, str]] = {
    "untrained": (
        "untrained",
        "The {label} of the same generator before its first training step: what no learning at all gives.",
    ),
    "test": ("test", "The {label} against images that were never trained on."),
    "floor": ("real against real", "The {label} of real images against other real images."),
}


@dataclass(frozen=True)
class Metric:
    """A metric: what it is called, what it needs, how it is computed.

    `figures`: by name, the figures of `compute`; the first is the metric's main one. `generated` and `real`:
    the statistics that it needs of either side; without `real` it looks at the generated images only.
    `held_out`: it needs the real images of `Comparison.held_out` beside those of the train split, and is
    measured against the train split only. `variants`: for which comparisons it is measured beside generated
    against train images: `untrained` (the generator before training), `test` (against the test split),
    `floor` (real against real). Each gives the main figure again, as `fid_test`; `explanations` are those of
    variants that need one of their own, `columns` the variants with a column of their own in the report.
    `interval` gives the 95% interval of the main figure, of generated against train images, as figures
    `fid_low` and `fid_high`; None where there is none. `evidence` gives arrays that stand behind the figures,
    for tests between experiments and for pictures; `picture` draws a PNG from these, the generated and the
    train images, or None; `picture_title` says what it shows, by default the main figure's label.
    `question`: what its figures answer. `in_tables`: whether the main figure has a column wherever
    experiments are compared, or what says so of the figures of some rows, a table with a column for each;
    those without stand in the tables' files and with each experiment.
    `in_overview`: whether that column is shown before a reader of the report has chosen any.
    `settings` says what else decides the figures, for their protocol, such as `kid=100x1000`. `least_images`:
    how many generated images it needs. `version` counts in the fingerprint of what is measured: raise it when
    the figures change. `weights` gives the sha256 of a file that decides the figures as well, where there is
    one, and is an `EvaluationError` where it is missing. `by_default`: whether it is measured where nobody
    chose the metrics; those that take long, or need what must be fetched, are not. `position` orders the
    metrics in every table.
    """

    figures: dict[str, Figure]
    compute: Callable[[Comparison], Figures]
    generated: tuple[Statistic, ...]
    real: tuple[Statistic, ...] = ()
    held_out: bool = False
    variants: tuple[Variant, ...] = ()
    explanations: dict[str, str] = field(default_factory=dict)
    columns: tuple[Variant, ...] = ()
    interval: Callable[[Comparison], Interval | None] | None = None
    evidence: "Callable[[Comparison], dict[str, numpy.ndarray]] | None" = None
    picture: "Callable[[dict[str, numpy.ndarray], ImagesOf, ImagesOf], bytes | None] | None" = None
    picture_title: str = ""
    question: Question = "distance"
    in_tables: "bool | Callable[[Mapping[str, Any]], bool]" = True
    in_overview: bool = False
    settings: Callable[[Comparison], str] = lambda comparison: ""
    least_images: int = 2
    version: str = "1"
    weights: Callable[[], str] | None = None
    by_default: bool = True
    position: int = 100

    @property
    def main(self) -> str:
        """The name of the first figure."""
        return next(iter(self.figures))

    def identity(self) -> str:
        """What decides the figures beside the images: the version, and the weights it has of its own.

        An `EvaluationError` where these are missing.
        """
        return f"{self.version} {self.weights()}" if self.weights else self.version

    @property
    def is_share(self) -> bool:
        """Whether the main figure is a share, 0 to 1."""
        return self.figures[self.main].write is percent

    @property
    def needs_labels(self) -> bool:
        """Whether it needs the classes that the generated images were asked for."""
        return any(statistic.needs == "labels" for statistic in self.generated)

    @cached_property
    def all_figures(self) -> dict[str, Figure]:
        """The figures and, behind the main one, its interval and its variants, by name."""
        main = self.figures[self.main]
        variants = {f"{self.main}_{variant}": self._variant(main, variant) for variant in self.variants}
        others = {name: figure for name, figure in self.figures.items() if name != self.main}
        return {self.main: main, **self._bounds(main), **variants, **others}

    @property
    def bounds(self) -> tuple[str, ...]:
        """The names of the ends of the main figure's interval, if it has one."""
        return interval_names(self.main) if self.interval else ()

    def has_column(self, rows: Mapping[str, Any]) -> bool:
        """Whether the main figure has a column in a table of these rows."""
        return self.in_tables(rows) if callable(self.in_tables) else self.in_tables

    def applies_to(self, comparison: Comparison) -> bool:
        """Whether all that it needs was gathered."""
        sides = [(comparison.generated, self.generated), (comparison.real, self.real)]
        if self.held_out:
            sides.append((comparison.held_out, self.real))
        return all(
            not needed or (side is not None and all(statistic in side for statistic in needed))
            for side, needed in sides
        )

    def _bounds(self, main: Figure) -> dict[str, Figure]:
        words = ("lower end", "upper end")
        return {
            name: Figure(
                f"{main.label}, {word}",
                None,
                f"The {word} of the {main.label}'s 95% interval over other samples of the same generator.",
                main.write,
            )
            for name, word in zip(self.bounds, words, strict=False)
        }

    def _variant(self, main: Figure, variant: str) -> Figure:
        label, explanation = VARIANTS[variant]
        return Figure(
            f"{main.label}, {label}",
            main.better,
            self.explanations.get(variant, explanation.format(label=main.label)),
            main.write,
        )


def interval_names(figure: str) -> tuple[str, str]:
    """The names of the ends of a figure's interval."""
    return f"{figure}_low", f"{figure}_high"


METRICS: dict[str, Metric] = {}


def add_metric(name: str, metric: Metric) -> Metric:
    """Register a metric under the name that `--metrics` and YAML files take, and its figures."""
    register(METRICS, name)(metric)
    for figure, meaning in metric.all_figures.items():
        register(FIGURES, figure)(meaning)
    sort_by_position(METRICS)
    return metric
