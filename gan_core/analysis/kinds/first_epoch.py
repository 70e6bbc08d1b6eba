"""One epoch against the end of the training: the same latents, the same small evaluation."""

from typing import TYPE_CHECKING, Any

from gan_core.analysis.base import Analysis, Findings, add_analysis
from gan_core.evaluation.figures import Figure, count

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.analysis.subject import Subject

SHOWN = 10
PICTURE = "first_epoch.png"


def look(subject: "Subject") -> Findings:
    from gan_core.analysis.pictures import rows_png
    from gan_core.training.state import fixed_inputs

    first, last = subject.trained.details["first_epoch"], _published(subject)
    latents, labels = fixed_inputs(subject.experiment, subject.generator.n_classes, "cpu")
    now = subject.draw(latents, None if labels is None else subject.one_hot(labels))
    then = _stored(subject, len(latents))
    rows = [
        (f"{moment['images_seen']:,} images", images[:SHOWN])
        for moment, images in ((first, then), (last, now))
    ]
    values = {"first": first, "last": last}
    return Findings(
        figures={
            f"epoch_{name}_{figure}": moment.get(figure)
            for name, moment in values.items()
            for figure in ("images_seen", "fid", "diversity")
        },
        protocol=f"the in-training evaluation of {subject.experiment.evaluation_samples:,} images at most; "
        f"one epoch is {subject.count('train'):,} images; the last row is of the published generator",
        pictures={"first_and_last.png": rows_png(rows)},
        table=[
            {
                "images seen": moment["images_seen"],
                "epochs": round(moment["images_seen"] / subject.count("train"), 1),
                "in-training FID": _rounded(moment.get("fid")),
                "diversity": _rounded(moment.get("diversity")),
            }
            for moment in (first, last)
        ],
    )


def _published(subject: "Subject") -> dict[str, Any]:
    """The moment of the generator that was published, with its in-training evaluation where it has one."""
    import pandas

    moment = {"images_seen": subject.trained.details["published"]["images_seen"]}
    if "evaluations.parquet" not in subject.trained.files:
        return moment
    rows = pandas.read_parquet(subject.store.local(subject.trained, "evaluations.parquet"))
    same = rows[rows["images_seen"] == moment["images_seen"]]
    found = same.iloc[-1].drop("images_seen").to_dict() if len(same) else {}
    return moment | found


def _stored(subject: "Subject", number: int) -> "Tensor":
    """The images that the training kept after its first epoch, as they stand side by side in a PNG."""
    import numpy as np
    import torch
    from PIL import Image

    with Image.open(subject.store.local(subject.trained, PICTURE), formats=("PNG",)) as strip:
        pixels = torch.from_numpy(np.array(strip))
    pixels = pixels.unsqueeze(2) if pixels.dim() == 2 else pixels
    return torch.stack(pixels.permute(2, 0, 1).chunk(number, dim=2)).contiguous()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _lacks(subject: "Subject") -> str | None:
    if PICTURE in subject.trained.files and subject.trained.details.get("first_epoch"):
        return None
    if "first_epoch" in subject.trained.details:
        return (
            "the training ended within its first epoch, or went on from a checkpoint that had not recorded it"
        )
    return "the training was made before the moment after the first epoch was recorded"


def _of_moment(moment: str) -> dict[str, Figure]:
    name = {"first": "after one epoch", "last": "at the end"}[moment]
    return {
        f"epoch_{moment}_images_seen": Figure(
            f"Images seen {name}", None, "Real images that D had seen at that moment.", count
        ),
        f"epoch_{moment}_fid": Figure(
            f"In-training FID {name}",
            "lower",
            "Of few samples: it compares moments of one run, not runs, and is not the leaderboard's FID.",
        ),
        f"epoch_{moment}_diversity": Figure(
            f"Diversity {name}",
            "higher",
            "How far samples are from their nearest neighbour, over the same of real images.",
        ),
    }


add_analysis(
    "first_epoch",
    Analysis(
        label="One epoch against the end",
        question="What did the rest of the training add to its first epoch? Both rows are of the same "
        "latents. A figure that hardly differs says that the training could have been shorter, or that it "
        "got stuck.",
        figures={**_of_moment("first"), **_of_moment("last")},
        look=look,
        lacks=_lacks,
        position=60,
    ),
)
