"""A conditional generator's classes: the same latent in every class, and between classes."""

from typing import TYPE_CHECKING

from gan_core.analysis.base import Analysis, Findings, add_analysis
from gan_core.evaluation.figures import Figure, percent

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.analysis.subject import Subject

LATENTS, MOST_CLASSES = 8, 10
STEPS = 9
# Images whose class is recognised: latents times classes, about so many.
MEASURED = 1_000


def look(subject: "Subject") -> Findings:
    import torch

    from gan_core.analysis.pictures import rows_png
    from gan_core.evaluation.statistics.intervals import share_interval

    n_classes = len(subject.classes)
    shown = torch.arange(min(n_classes, MOST_CLASSES))
    latents = subject.latents(max(LATENTS, MEASURED // n_classes), "class_sweep")
    sweep = [
        (f"latent {row}", subject.draw(z.expand(len(shown), -1), subject.one_hot(shown)))
        for row, z in enumerate(latents[:LATENTS])
    ]
    pictures = {
        "class_sweep.png": rows_png(sweep, [subject.classes[label][:6] for label in shown]),
        "between_classes.png": rows_png(_between(subject, latents[0], shown)),
    }
    figures = dict.fromkeys(("sweep_recognised", "sweep_recognised_low", "sweep_recognised_high"))
    protocol = "pictures only: the dataset's classifier does not know its classes"
    if subject.recognises_classes:
        asked = torch.arange(n_classes).repeat(len(latents))
        batches = subject.drawn(latents.repeat_interleave(n_classes, dim=0), subject.one_hot(asked))
        found = torch.cat([subject.recognised(images)[0] for images in batches])
        right = int((found == asked).sum())
        low, high = share_interval(right, len(asked))
        figures = {
            "sweep_recognised": right / len(asked),
            "sweep_recognised_low": low,
            "sweep_recognised_high": high,
        }
        protocol = (
            f"{len(latents)} latents in each of {n_classes} classes, by the dataset's classifier; "
            f"by chance {1 / n_classes:.1%}"
        )
    return Findings(figures=figures, protocol=protocol, pictures=pictures)


def _between(subject: "Subject", z: "Tensor", shown: "Tensor") -> "list[tuple[str, Tensor]]":
    """One latent from each class to the next: the one-hot class of the generator's input is a mixture."""
    from gan_core.analysis.latents import lerp

    classes = subject.one_hot(shown)
    rows = []
    for first, second in zip(shown[:-1].tolist(), shown[1:].tolist(), strict=True):
        mixtures = lerp(classes[first], classes[second], STEPS)
        caption = f"{subject.classes[first]} to {subject.classes[second]}"
        rows.append((caption, subject.draw(z.expand(STEPS, -1), mixtures)))
    return rows


def _end(word: str) -> Figure:
    return Figure(
        f"Recognised in the sweep, {word} end", None, f"The {word} end of that share's 95% interval.", percent
    )


add_analysis(
    "class_sweep",
    Analysis(
        label="Class sweep",
        question="What does the class decide, and what the latent? Each row is one latent in every class: "
        "style (slant, weight) should stay along it. Below, one latent on the way from each class to the "
        "next: images half-way belong to neither, and nobody trained the generator to draw them.",
        figures={
            "sweep_recognised": Figure(
                "Recognised in the sweep",
                "higher",
                "The share of images that the dataset's classifier takes for the class asked for, every "
                "latent in all classes.",
                percent,
            ),
            "sweep_recognised_low": _end("lower"),
            "sweep_recognised_high": _end("upper"),
        },
        look=look,
        lacks=lambda subject: None if subject.conditional else "the generator is not conditional",
        position=40,
    ),
)
