"""What each figure is called, how it is written and what it means: one place for every table."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

MISSING = "—"


def decimal(value: float) -> str:
    """A score with two decimals, or four where two would hide it: `42.72`, `0.0204`."""
    text = f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def count(value: float) -> str:
    """A number of things: `60,000`."""
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """A share between 0 and 1: `97.3%`."""
    return f"{value:.1%}"


@dataclass(frozen=True)
class Figure:
    """A figure of a manifest: its label, which direction is better, one sentence for a newcomer."""

    label: str
    better: Literal["lower", "higher"] | None
    explanation: str
    write: Callable[[float], str] = decimal

    @property
    def heading(self) -> str:
        """The label with an arrow to the better side: `FID ↓`."""
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[self.better]
        return self.label + arrow


FIGURES = {
    "fid": Figure(
        "FID",
        "lower",
        "Fréchet distance between the features of generated images and of the training images "
        "(Heusel et al. 2017). Lower is better; 0 would be the same distribution.",
    ),
    "fid_test": Figure(
        "FID, test",
        "lower",
        "The same distance against images that were never trained on. Lower is better; much worse than the "
        "FID means that the generator copies its training images.",
    ),
    "fid_floor": Figure(
        "FID, real against real",
        "lower",
        "The FID that real images reach against other real images. A generator cannot be "
        "expected to go below this floor.",
    ),
    "fid_untrained": Figure(
        "FID, untrained",
        "lower",
        "The FID of the same generator before its first training step: what no learning at all gives.",
    ),
    "kid": Figure(
        "KID",
        "lower",
        "Kernel distance between the same two sets of features (Bińkowski et al. 2018). Lower is better; "
        "unlike the FID it is not biased by the number of images, and may fall slightly below 0.",
    ),
    "kid_test": Figure(
        "KID, test", "lower", "The KID against images that were never trained on. Lower is better."
    ),
    "kid_floor": Figure("KID, real against real", "lower", "The KID of real images against real images."),
    "inception_score": Figure(
        "Inception Score",
        "higher",
        "High when each image clearly shows one class and all classes occur equally often "
        "(Salimans et al. 2016); ± is the spread over ten parts of the samples. Higher is better.",
    ),
    "inception_score_std": Figure("± std", None, "Spread of the Inception Score over ten parts."),
    "class_accuracy": Figure(
        "Class accuracy",
        "higher",
        "How often a classifier trained on real images recognises the class that a conditional generator "
        "was asked for. Higher is better.",
        percent,
    ),
    "verdict": Figure(
        "Verdict",
        None,
        "What the guards say of the training at its end: healthy, or what went wrong; (stopped) where one of "
        "them ended the run. Unknown where it was trained before there were guards.",
    ),
    "fid_in_training": Figure(
        "In-training FID",
        "lower",
        "A cheap FID of few samples, measured while training. It compares moments of one run and is not "
        "comparable with the FID of the leaderboard, which is of many more samples.",
    ),
    "fid_best": Figure("In-training FID, best", "lower", "The lowest in-training FID of a run."),
    "images_seen_best": Figure(
        "Images seen at the best", None, "Where the lowest in-training FID was measured.", count
    ),
    "diversity": Figure(
        "Diversity",
        "higher",
        "How far the samples are from their nearest neighbour, over the same distance of real images: near 1 "
        "they differ as much as real images do, near 0 they repeat themselves (mode collapse).",
    ),
    "images_seen": Figure(
        "Images seen",
        None,
        "Real images shown to the discriminator: the training's length, whatever the batch size.",
        count,
    ),
    "images_per_second": Figure(
        "Images/s",
        "higher",
        "Real images that training went through in a second on the device named. Higher is faster, "
        "and says nothing about quality.",
        count,
    ),
}


def is_missing(value: Any) -> bool:
    """Whether a figure has no value: None, NaN, or pandas' NA."""
    if value is None or isinstance(value, str):
        return value is None
    try:
        return math.isnan(value)
    except TypeError:  # pandas.NA has no float value
        return True


def write_figure(name: str, value: Any) -> str:
    """A figure of `FIGURES` as text; `MISSING` where there is none."""
    return MISSING if is_missing(value) else FIGURES[name].write(value)


def write_inception_score(score: Any, std: Any) -> str:
    """`7.95 ± 0.08`, without the spread where it is missing."""
    text = write_figure("inception_score", score)
    return text if is_missing(score) or is_missing(std) else f"{text} ± {std:.2f}"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
