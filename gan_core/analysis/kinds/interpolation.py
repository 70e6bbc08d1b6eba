"""Between two latents: the straight line beside the great circle (see `gan_core.analysis.latents`)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gan_core.analysis.base import Analysis, Findings, add_analysis
from gan_core.evaluation.figures import Figure

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.analysis.subject import Subject
    from gan_core.evaluation.statistics.moments import Gaussian

PAIRS, STEPS = 5, 11
# Middles whose distance is measured, and real images that they are compared with.
MEASURED = 1_000


def look(subject: "Subject") -> Findings:
    import torch

    from gan_core.analysis.latents import lerp, slerp
    from gan_core.analysis.pictures import rows_png

    ends = subject.latents(2 * MEASURED, "interpolation").unflatten(0, (MEASURED, 2))
    labels = torch.arange(MEASURED) % max(len(subject.classes), 1)  # both ends have one class
    rows = []
    for pair, label in zip(ends[:PAIRS], labels, strict=False):
        for name, path in (("linear", lerp), ("spherical", slerp)):
            classes = subject.one_hot(label.expand(STEPS))
            rows.append((name, subject.draw(path(*pair, STEPS), classes)))
    classes = subject.one_hot(labels)
    latents = {
        "end": ends[:, 0],
        "linear": torch.stack([lerp(*pair, 3)[1] for pair in ends]),
        "spherical": torch.stack([slerp(*pair, 3)[1] for pair in ends]),
    }
    found = _distances(subject, latents, classes)
    norms = {name: float(z.norm(dim=1).mean()) for name, z in latents.items()}
    return Findings(
        figures={f"interpolation_{name}": value for name, value in found.items()},
        protocol=f"Fréchet distance by the classifier's features, {MEASURED:,} images against as many train "
        "images at most: for comparing the three with each other only",
        pictures={"interpolation.png": rows_png(rows)},
        table=[
            {
                "images of": words,
                "mean norm of the latents": round(norms[name], 2),
                "FID": round(found[name], 2),
            }
            for name, words in WORDS.items()
        ],
    )


WORDS = {
    "end": "drawn latents",
    "linear": "middles of straight lines",
    "spherical": "middles of great circles",
}


def _distances(
    subject: "Subject", latents: "dict[str, Tensor]", classes: "Tensor | None"
) -> dict[str, float]:
    from gan_core.analysis.subject import BATCH_SIZE
    from gan_core.evaluation.statistics.moments import FrechetReference, Moments, frechet_distance

    def gaussian(batches: "Iterable[Tensor]") -> "Gaussian":
        moments = Moments()
        for images in batches:
            moments.update(subject.extractor.extract(images)[0])
        return moments.gaussian()

    real = subject.images("train", MEASURED).images
    reference = FrechetReference.of(gaussian(real.split(BATCH_SIZE)))
    return {
        name: frechet_distance(reference, gaussian(subject.drawn(z, classes))) for name, z in latents.items()
    }


def _figure(label: str, what: str) -> Figure:
    return Figure(
        label,
        "lower",
        f"The Fréchet distance of {what} to train images, of few images: it compares with its two neighbours "
        "only.",
    )


add_analysis(
    "interpolation",
    Analysis(
        label="Interpolation",
        question="Do images change smoothly between two latents? Each pair of rows joins the same two: a "
        "generator that has only learned images by heart jumps from one to the next. The straight line "
        "passes nearer to the centre than latents are drawn, the great circle keeps their norm.",
        figures={
            "interpolation_end": _figure("FID of the ends", "images of drawn latents"),
            "interpolation_linear": _figure("FID half-way, linear", "images half-way along straight lines"),
            "interpolation_spherical": _figure(
                "FID half-way, spherical", "images half-way along great circles"
            ),
        },
        look=look,
        lacks=lambda subject: "fewer than 2 train images" if subject.count("train") < 2 else None,
        position=20,
    ),
)
