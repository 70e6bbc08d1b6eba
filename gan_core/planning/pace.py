"""How long a training takes: its steps, and what is evaluated on the way."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gan_core.config import Experiment
from gan_core.spacing import evaluation_interval
from gan_core.store import Manifest
from gan_core.training.records.conditions import CONDITIONS

Row = dict[str, float]


@dataclass(frozen=True)
class Course:
    """When a training of `total` images evaluates what it has learned: before its first step, every `every`
    images, after the `epoch` images of the first epoch, and at its end, each with the end of a batch."""

    total: int
    every: int
    epoch: int
    batch_size: int

    @classmethod
    def of(cls, experiment: Experiment, train_images: int, every: int | None) -> "Course":
        """`every` is the experiment's `evaluate_every`, or that of its conditions when it was trained."""
        total = experiment.length.total_images(train_images)
        return cls(total, every or evaluation_interval(total), train_images, experiment.batch_size)

    @cached_property
    def moments(self) -> list[int]:
        """The images seen at each evaluation, ascending."""
        step = max(self.every, self.batch_size)
        due = {*range(step, self.total, step), min(self.epoch, self.total), self.total}
        return sorted({0, *(-(-seen // self.batch_size) * self.batch_size for seen in due)})

    def before(self, images_seen: int) -> int:
        """How many evaluations come at fewer images seen."""
        return bisect_left(self.moments, images_seen)

    def after(self, begun: int) -> int:
        """How many are left for a training that has seen `begun` images, and was evaluated there."""
        return len(self.moments) - (bisect_right(self.moments, begun) if begun else 0)


@dataclass(frozen=True)
class Pace:
    """`images_per_second` of the steps, with everything that is done between them but the evaluations, and
    the seconds of each of these."""

    images_per_second: float
    seconds_per_evaluation: float

    def seconds_left(self, course: Course, begun: int = 0) -> float:
        """What is left for a training that has seen `begun` images takes."""
        steps = max(course.total - begun, 0) / self.images_per_second
        return steps + course.after(begun) * self.seconds_per_evaluation


def recorded_pace(made: Manifest, experiment: Experiment) -> Pace | None:
    """That of a training that has ended, as `experiment` says it was configured.

    The images a second of trainings from before 27 November 2026 are those of steps and evaluations together.
    """
    figures, conditions = made.figures, made.details[CONDITIONS]
    if not figures.get("images_per_second"):
        return None
    course = Course.of(experiment, conditions["train_images"], conditions["evaluate_every"])
    # The clock of a training stops with its last step: the evaluation of the end is not in it.
    counted = course.before(figures["images_seen"])
    return Pace(figures["images_per_second"], figures.get("seconds_evaluating", 0.0) / max(counted, 1))


def pace_so_far(rows: Sequence[Row], course: Course) -> Pace | None:
    """That of a training that has recorded these rows of losses: the steps' is the newest row's, an
    evaluation's the mean of those since the first one, which may be of a run that went on from elsewhere.
    None where there is no row with a speed."""
    rows = [row for row in rows if row.get("images_per_second")]
    if not rows:
        return None
    steps = sum(
        (row["images_seen"] - before["images_seen"]) / row["images_per_second"]
        for before, row in itertools.pairwise(rows)
    )
    first, newest = rows[0], rows[-1]
    evaluating = max(newest["seconds"] - first["seconds"] - steps, 0.0)
    counted = course.before(int(newest["images_seen"])) - course.before(int(first["images_seen"]))
    return Pace(newest["images_per_second"], evaluating / max(counted, 1))
