"""The figures that configurations are compared by: those of all metrics, and some of the trainings.

`COMPARED` has them by the names that a question's `figures` take. Imports neither torch nor numpy.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gan_core.evaluation.figures import FIGURES, Figure, count, is_missing, percent
from gan_core.evaluation.judging.impostors import LITTLE, UNLIKE
from gan_core.evaluation.judging.verdicts import FAR_FROM_REAL, FIGURE_NAMES, STOPPED, in_words
from gan_core.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from gan_core.comparing.runs import Run

# These verdicts say that a run could be better; one of the others says that it failed.
NO_FAILURES = ("stagnation", "got_worse", "too_short_to_judge", FAR_FROM_REAL, LITTLE, UNLIKE)
FAILURES = (
    *(in_words(name) for name in ("not_finite", *FIGURE_NAMES) if name not in NO_FAILURES),
    STOPPED,
)


@dataclass(frozen=True)
class Value:
    """A figure of one run; `reached` is False where the run ended before: it is at least so large."""

    number: float
    reached: bool = True


@dataclass(frozen=True)
class Compared:
    """A figure by which configurations are compared.

    `kind` says what is compared of a configuration: the `mean` over its runs, their relative `spread`, or the
    `share` of the runs that have it. `across`: its unit is the same for all datasets and protocols.
    `of_device`: it compares on one device only. `needs_level`: it waits for the question's `fid_to_reach`.
    """

    figure: Figure
    kind: Literal["mean", "spread", "share"] = "mean"
    across: bool = False
    of_device: bool = False
    needs_level: bool = False

    @property
    def has_better_side(self) -> bool:
        """Whether one of two values is better: else two configurations differ, and none beats the other."""
        return self.figure.better != "real"

    def of(self, name: str, run: "Run") -> Value | None:
        """This figure, called `name`, of a run; None where it was not measured."""
        value = run.entry.values.get(name)
        return None if is_missing(value) else Value(float(value))


@dataclass(frozen=True)
class OfTraining(Compared):
    """A figure of the training's manifest."""

    def of(self, name: str, run: "Run") -> Value | None:
        value = run.trained.figures.get(name)
        return None if is_missing(value) else Value(float(value))


@dataclass(frozen=True)
class Spread(Compared):
    """How far the runs of a configuration lie apart in another figure."""

    source: str = "fid"
    kind: Literal["mean", "spread", "share"] = field(default="spread")

    def of(self, name: str, run: "Run") -> Value | None:
        found = super().of(self.source, run)
        return found if found and found.number > 0 else None


@dataclass(frozen=True)
class Failed(Compared):
    """Whether the verdict on a run is one of `FAILURES`."""

    kind: Literal["mean", "spread", "share"] = field(default="share")

    def of(self, name: str, run: "Run") -> Value | None:
        return Value(float(run.failed))


@dataclass(frozen=True)
class ToReach(Compared):
    """How far a training had come, by `clock`, when its in-training FID was first as low as the level."""

    clock: Literal["images", "seconds"] = "images"
    needs_level: bool = field(default=True)

    def of(self, name: str, run: "Run") -> Value | None:
        course = run.course
        if course is None or run.level is None:
            return None
        images = first_at_level(course.images, course.fids, run.level)
        reached = images is not None
        images = images if reached else course.images[-1]
        return Value(images if self.clock == "images" else course.seconds_at(images), reached)


def first_at_level(images: list[float], fids: list[float], level: float) -> float | None:
    """Where the FID, a line between its measurements, first is at `level`; None where it never is.

    Where the first measurement is below already: at that one, for what was before is not known.
    """
    before: tuple[float, float] | None = None
    for seen, fid in zip(images, fids, strict=True):
        if math.isfinite(fid) and fid <= level:
            if before is None or before[1] == fid:
                return seen
            share = (before[1] - level) / (before[1] - fid)
            return before[0] + share * (seen - before[0])
        before = (seen, fid) if math.isfinite(fid) else None
    return None


def seconds(value: float) -> str:
    """`12.3 s`."""
    return f"{value:,.1f} s"


def has_failed(verdict: str) -> bool:
    """Whether a verdict (`gan_core.leaderboard.verdicts.verdict_text`) is one of a run that failed."""
    return any(name in verdict for name in FAILURES)


def _of_metrics() -> dict[str, Compared]:
    measured = [
        name
        for metric in METRICS.values()
        for name in metric.all_figures
        if name not in (f"{metric.main}_untrained", f"{metric.main}_floor")  # of no trained generator
    ]
    return {name: Compared(FIGURES[name]) for name in measured if FIGURES[name].better is not None}


COMPARED: dict[str, Compared] = {
    **_of_metrics(),
    "failed": Failed(
        Figure("Failed runs", "lower", "Share of the runs whose verdict is that they failed.", percent)
    ),
    "fid_spread": Spread(
        Figure(
            "Spread of the FID",
            "lower",
            "Standard deviation of the logarithm of the FID over the runs, nearly the relative one: 5% is an "
            "FID of 20 that varies by 1.",
            percent,
        )
    ),
    "images_to_fid": ToReach(
        Figure(
            "Images to reach the FID",
            "lower",
            "Real images seen when the in-training FID was first as low as the level of the question.",
            count,
        ),
        across=True,
    ),
    "seconds_to_fid": ToReach(
        Figure(
            "Seconds to reach the FID",
            "lower",
            "Seconds of training until the in-training FID was first as low as the level of the question. "
            "They depend on the machine and on what else it does.",
            seconds,
        ),
        clock="seconds",
        across=True,
        of_device=True,
    ),
    "seconds_training": OfTraining(
        Figure(
            "Seconds of training",
            "lower",
            "Seconds of the whole training. They depend on the machine and on what else it does.",
            seconds,
        ),
        across=True,
        of_device=True,
    ),
    "diversity": OfTraining(
        Figure(
            "Diversity at the end",
            "higher",
            "How far the samples are from their nearest neighbour, over the same of real images: near 0 they "
            "repeat themselves.",
        )
    ),
    "parameters_generator": OfTraining(
        Figure("Weights of G", "lower", "How many weights the generator has.", count), across=True
    ),
}
