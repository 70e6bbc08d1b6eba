"""What a guard is, what it finds, and how it reads the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from gan_core.config import Experiment
from gan_core.evaluation.judging.verdicts import RECENT_STEPS, in_words
from gan_core.objectives import OBJECTIVES, PENALTIES
from gan_core.registry import register
from gan_core.spacing import evaluation_interval

Row = dict[str, float | int]

# A verdict stands on so many rows of the history or on `RECENT_STEPS` steps of D, whichever are more.
RECENT_ROWS = 5
# The FID still falls where the best of the last quarter of the evaluations, two at least, is by this share
# below the best before.
FALLING = 0.05
LEAST_RECENT = 2
# So that a run that goes on is known not to recover.
NO_LONGER_FALLING = LEAST_RECENT + 1


@dataclass(frozen=True)
class Finding:
    """One verdict: its name, what was seen in plain words, the figure behind it, what usually helps.

    `keys` are configuration keys with what to do to them.
    """

    verdict: str
    text: str
    figure: float
    images_seen: int
    keys: tuple[str, ...]

    def record(self) -> dict:
        """For a manifest's details."""
        return {**asdict(self), "keys": list(self.keys)}

    def sentence(self) -> str:
        """Everything in one line."""
        return f"{in_words(self.verdict)}: {self.text}. What usually helps: {'; '.join(self.keys)}"


@dataclass(frozen=True)
class Records:
    """What a guard looks at: the rows of the history (every `log_every` steps), those of the in-training
    evaluation, and whether the run has ended with them."""

    experiment: Experiment
    history: list[Row]
    evaluations: list[Row]
    ended: bool = True

    @property
    def scored(self) -> list[Row]:
        """The evaluations that have an FID."""
        return [row for row in self.evaluations if "fid" in row]

    def recent(self) -> list[Row]:
        """The last rows of the history; none where there are too few for a verdict."""
        for start in range(len(self.history) - RECENT_ROWS, -1, -1):
            if self.steps_of(self.history[start:]) >= RECENT_STEPS:
                return self.history[start:]
        return []

    def steps_of(self, last: list[Row]) -> int:
        """How many steps of D these last rows of the history are of."""
        before = self.history[-len(last) - 1]["step"] if len(self.history) > len(last) else 0
        return self.history[-1]["step"] - before

    def gradient_ratio(self, name: str) -> tuple[float | None, float, float]:
        """The recent median of a norm over that of the first rows, and both; None where rows are too few."""
        rows = self.recent()
        if not rows or len(self.history) < 2 * len(rows):
            return None, 0.0, 0.0
        first, recent = (
            median(row.get(name, 0.0) for row in part) for part in (self.history[: len(rows)], rows)
        )
        if not recent:
            return 0.0, first, recent
        return (recent / first if first else None), first, recent

    @property
    def fid_falls(self) -> bool | None:
        """Whether the in-training FID still falls at the end; None where too few were measured to say."""
        fids = [row["fid"] for row in self.scored]
        recent = max(LEAST_RECENT, len(fids) // 4)
        if len(fids) <= recent:
            return None
        return min(fids[-recent:]) < (1 - FALLING) * min(fids[:-recent])

    @property
    def may_recover(self) -> bool:
        """Whether the run goes on and its FID still falls, or too few were measured to say that it does not.
        Where none are measured, nothing else is to be waited for."""
        return not self.ended and bool(self.scored) and self.fid_falls is not False

    @property
    def trend(self) -> str:
        """`fid_falls` in words."""
        return {
            None: "too few FIDs were measured to say whether it still falls",
            True: "it still falls",
            False: "it no longer falls",
        }[self.fid_falls]


@dataclass(frozen=True)
class Guard:
    """`look` says what it found, or None. Verdicts are told by `position`, the worst first.

    With fewer `evaluations` or `rows` of the history (each of a fifth of `RECENT_STEPS` at least) a run that
    goes on is never given this verdict. `silent` says why no run of an experiment is, on a dataset that is
    labelled or not, and what to do about it; None of one that may be.
    """

    look: Callable[[Records], Finding | None]
    position: int
    evaluations: int = 0
    rows: int = 0
    silent: Callable[[Experiment, bool], str | None] = lambda experiment, labelled: None

    def why_never(self, experiment: Experiment, *, labelled: bool, total_images: int | None) -> str | None:
        """Why it never speaks while a run of so many images goes on (None: of any length), and what to do
        about it."""
        if reason := self.silent(experiment, labelled):
            return reason
        if total_images is None:
            return None
        every = experiment.evaluate_every or evaluation_interval(total_images)
        if (total_images - 1) // max(every, experiment.batch_size) < self.evaluations:
            return (
                f"it takes {self.evaluations} evaluations before the end, which {total_images:,} images with "
                f"one every {every:,} do not have: lower evaluate_every, or remove it"
            )
        of_row = max(experiment.log_every, RECENT_STEPS // RECENT_ROWS)
        if (total_images - 1) // experiment.batch_size < self.rows * of_row:
            lower = "lower log_every, " if of_row == experiment.log_every > 1 else ""
            return (
                f"it takes {self.rows * of_row:,} steps before the end ({self.rows} rows of the history, "
                f"{RECENT_STEPS // RECENT_ROWS} steps each at least), which {total_images:,} images in "
                f"batches of {experiment.batch_size} do not have: raise the length, {lower}or remove it"
            )
        return None


GUARDS: dict[str, Guard] = {}


def guard(name: str, position: int, **needs: Any) -> Callable[[Callable], Callable]:
    """A decorator that registers a function of `Records` as the guard of this verdict; `needs` are the other
    fields of `Guard`."""

    def enter(look: Callable[[Records], Finding | None]) -> Callable:
        register(GUARDS, name)(Guard(look, position, **needs))
        return look

    return enter


def advice(*choices: tuple[bool, str]) -> tuple[str, ...]:
    """What usually helps, without what the experiment has already or cannot have."""
    return tuple(text for applies, text in choices if applies)


def smoothable(experiment: Experiment) -> bool:
    """Whether real images' targets may be smoothed, and are not yet."""
    return OBJECTIVES[experiment.objective.name].smoothable and not experiment.objective.label_smoothing


def may_mix(experiment: Experiment) -> bool:
    """Whether D may look at a batch as a whole, and does not yet."""
    forbidden = any(PENALTIES[name].forbids_minibatch for name in experiment.objective.penalties)
    return not (experiment.architecture.minibatch_layers or forbidden)
