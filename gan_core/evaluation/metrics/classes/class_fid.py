"""The Fréchet distance within each class: what a conditional generator makes of a class against the training
images of that class (the intra-FID of Miyato and Koyama 2018)."""

from typing import TYPE_CHECKING, Any

from gan_core.evaluation.figures import Figure, count
from gan_core.evaluation.metrics.base import (
    Batch,
    Comparison,
    Figures,
    Gatherer,
    Metric,
    Statistic,
    add_metric,
)

if TYPE_CHECKING:
    import numpy

# So many images are gathered before they are parted by class.
BLOCK = 4096


class ClassMoments(Gatherer):
    """The `Gaussian` of each class's features by its number, of those with at least 2 images; None without
    labels, and with more than `MOST_CLASSES` classes."""

    def __init__(self):
        self.moments: dict[int, Any] = {}
        self.waiting: list[tuple] = []  # features and labels; images would need far more memory
        self.rows = 0

    def update(self, batch: Batch) -> None:
        if batch.labels is None or not batch.has_few_classes:
            return
        self.waiting.append((batch.features, batch.labels.to(batch.features.device)))
        self.rows += len(batch)
        if self.rows >= BLOCK:
            self._part()

    def finish(self) -> dict[int, Any] | None:
        self._part()
        found = {k: moments.gaussian() for k, moments in self.moments.items() if moments.count >= 2}
        return dict(sorted(found.items())) or None

    def _part(self) -> None:
        import torch

        from gan_core.evaluation.statistics.moments import Moments

        if not self.waiting:
            return
        features, labels = map(torch.cat, zip(*self.waiting, strict=True))
        self.waiting, self.rows = [], 0
        for k in labels.unique().tolist():
            self.moments.setdefault(k, Moments()).update(features[labels == k])


def _with_roots(gaussians: dict[int, Any]) -> dict[int, Any]:
    from gan_core.evaluation.statistics.moments import FrechetReference

    return {k: FrechetReference.of(gaussian) for k, gaussian in gaussians.items()}


def _to_arrays(references: dict[int, Any]) -> "dict[str, numpy.ndarray]":
    import numpy as np

    return {
        "classes": np.array(list(references)),
        "counts": np.array([reference.count for reference in references.values()]),
        "mu": np.stack([reference.mu for reference in references.values()]),
        "sigma": np.stack([reference.sigma for reference in references.values()]),
    }


def _of_arrays(arrays: "dict[str, numpy.ndarray]") -> dict[int, Any]:
    from gan_core.evaluation.statistics.moments import Gaussian

    parts = zip(arrays["classes"], arrays["mu"], arrays["sigma"], arrays["counts"], strict=True)
    return _with_roots({int(k): Gaussian(mu, sigma, int(n)) for k, mu, sigma, n in parts})


CLASS_MOMENTS = Statistic(
    "class_moments",
    lambda count, seed: ClassMoments(),
    needs="labels",
    prepare=_with_roots,
    to_arrays=_to_arrays,
    of_arrays=_of_arrays,
)


def distances(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """Of each class that both sides have at least two images of: its number (`classes`), the Fréchet distance
    within it (`fid`), and the numbers of images that it stands on (`generated`, `real`)."""
    import numpy as np

    from gan_core.evaluation.statistics.moments import frechet_distance

    def make() -> dict[str, np.ndarray]:
        real, generated = comparison.real[CLASS_MOMENTS], comparison.generated[CLASS_MOMENTS]
        classes = [k for k in generated if k in real]
        return {
            "classes": np.array(classes, dtype=np.int64),
            "fid": np.array([frechet_distance(real[k], generated[k]) for k in classes]),
            "generated": np.array([generated[k].count for k in classes], dtype=np.int64),
            "real": np.array([real[k].count for k in classes], dtype=np.int64),
        }

    return comparison.once("class_fid", make)


def compute(comparison: Comparison) -> Figures:
    found = distances(comparison)
    if not len(found["classes"]):
        return dict.fromkeys(("class_fid", "class_fid_worst", "class_fid_images"))
    return {
        "class_fid": float(found["fid"].mean()),
        "class_fid_worst": float(found["fid"].max()),
        "class_fid_images": int(min(found["generated"].min(), found["real"].min())),
    }


add_metric(
    "class_fid",
    Metric(
        figures={
            "class_fid": Figure(
                "FID within classes",
                "lower",
                "The FID between the images that a conditional generator was asked for of a class and the "
                "training images of that class, as a mean over the classes. Few images of a class raise it. "
                "Lower is better.",
            ),
            "class_fid_worst": Figure(
                "FID of the worst class", "lower", "The largest FID within a class. Lower is better."
            ),
            "class_fid_images": Figure(
                "Images in the smallest class",
                None,
                "On how few images, generated or real, the FID of a class stands.",
                count,
            ),
        },
        compute=compute,
        evidence=distances,
        generated=(CLASS_MOMENTS,),
        real=(CLASS_MOMENTS,),
        in_tables=False,
        question="classes",
        position=42,
    ),
)
