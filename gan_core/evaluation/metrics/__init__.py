"""The metrics: images -> features (the only costly step) -> statistics -> figures.

A metric is one file of this package. It says which statistics it needs of the generated and of the real
images, what its figures are called and mean, and how they are computed; leaderboard, report, command line and
Dagster's UI go over `METRICS` and name none. Nothing here imports torch before something is measured.
"""

from collections.abc import Iterable

from gan_core.errors import EvaluationError
from gan_core.evaluation.metrics.base import (
    METRICS,
    QUESTIONS,
    Comparison,
    Figures,
    ImageSet,
    ImagesOf,
    Interval,
    Metric,
    Question,
    Statistic,
    Variant,
    add_metric,
    interval_names,
)
from gan_core.registry import chosen, import_modules

__all__ = [
    "METRICS",
    "QUESTIONS",
    "Comparison",
    "Figures",
    "ImageSet",
    "ImagesOf",
    "Interval",
    "Metric",
    "Question",
    "Statistic",
    "Variant",
    "add_metric",
    "chosen_metrics",
    "compute_metrics",
    "interval_names",
    "metric_of_figure",
    "statistics_needed",
]

import_modules(__name__, __path__)


def chosen_metrics(names: Iterable[str] | None) -> dict[str, Metric]:
    """The named metrics in the order of the registry, or those measured by default where `names` is None.

    An unknown name, or none at all, is an `EvaluationError` that lists the metrics there are.
    """
    if names is None:
        return {name: metric for name, metric in METRICS.items() if metric.by_default}
    return chosen(METRICS, names, "metric", EvaluationError)


def statistics_needed(metrics: Iterable[Metric], *, real: bool) -> tuple[Statistic, ...]:
    """What has to be gathered of the real images, or of the generated ones, each statistic once.

    Two statistics of one name are a `ValueError`.
    """
    needed: dict[str, Statistic] = {}
    for metric in metrics:
        for statistic in metric.real if real else metric.generated:
            if needed.setdefault(statistic.name, statistic) is not statistic:
                raise ValueError(f"two statistics are called `{statistic.name}`: give one another name")
    return tuple(needed.values())


def compute_metrics(metrics: dict[str, Metric], comparison: Comparison) -> Figures:
    """The figures of these metrics; None for those whose statistics could not be gathered.

    A metric that compares with real images is an `EvaluationError` where there are none.
    """
    figures: Figures = {}
    for name, metric in metrics.items():
        if metric.real and comparison.real is None:
            raise EvaluationError(f"metric `{name}` compares with real images: name them")
        applies = metric.applies_to(comparison)
        figures |= metric.compute(comparison) if applies else dict.fromkeys(metric.figures)
    return figures


def metric_of_figure(figure: str) -> Metric | None:
    """The metric that gives a figure, its variants too; None for a figure that no metric gives."""
    return next((metric for metric in METRICS.values() if figure in metric.all_figures), None)
