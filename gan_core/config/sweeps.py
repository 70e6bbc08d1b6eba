"""The schema of `configs/sweeps/*.yaml`: a search for the values of a few keys of one experiment."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gan_core.config.base import Config, Contradiction, Description, Flag, Name, Seed
from gan_core.config.datasets import Dataset
from gan_core.config.experiments import Experiment
from gan_core.config.mistakes import unknown
from gan_core.evaluation.figures import FIGURES
from gan_core.evaluation.metrics import METRICS

MOST_TRIALS = 1_000
MOST_VALUES = 4_000  # of all trials together, which one file holds
# So many combinations of the ends of ranges and of choices are validated, of a larger space each value once.
MOST_CORNERS = 500
# What of a dataset says nothing of what is measured.
WORDS_OF_A_DATASET = {"name", "description", "licence"}
Number = int | float
Values = dict[str, Any]


class Range(Config):
    """What one key may be: one of `choices`, or a number from `low` to `high`, drawn by its logarithm where
    `log` says so; whole where both are written as whole numbers."""

    choices: Annotated[tuple[Any, ...], Field(min_length=2)] | None = None
    low: Number | None = None
    high: Number | None = None
    log: Flag = False

    @model_validator(mode="after")
    def _one_kind(self):
        if self.choices is not None:
            if not (self.low is self.high is None) or self.log:
                raise ValueError("give either `choices`, or `low` and `high` with or without `log`")
            for position, value in enumerate(self.choices):
                if isinstance(value, dict):
                    raise ValueError("choices are single values: name the key of a section that varies")
                if value in self.choices[:position]:
                    raise ValueError(f"choices has `{value}` twice: remove one")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `choices: [...]`, or `low` and `high`")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low}, which is not below high, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}, which has no logarithm: raise it above 0, or remove `log`")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether a range has whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> int:
        """How many values there are, where they can be counted."""
        return self.high - self.low + 1 if self.choices is None else len(self.choices)

    @property
    def corners(self) -> tuple[Any, ...]:
        """All choices, or both ends."""
        return (self.low, self.high) if self.choices is None else self.choices

    def in_configuration(self, value: Any) -> Any:
        """A drawn value as an experiment has it: four digits of a number are enough to tell it apart."""
        if not isinstance(value, float) or self.choices is not None:
            return value
        return min(max(float(f"{value:.4g}"), self.low), self.high)


class Pruning(Config):
    """Successive halving (Jamieson and Talwalkar 2016, asynchronous as in Li et al. 2020) by the in-training
    FID: after `first` evaluations, `first * reduction`, `first * reduction²` and so on, a trial goes on where
    it is among the best one in `reduction` of those that have come as far."""

    reduction: Annotated[int, Field(ge=2, le=16)] = 2
    first: Annotated[int, Field(ge=1, le=1_000)] = 1


class Sweep(Config):
    """One file of `configs/sweeps/`.

    `base`: the experiment whose keys vary. `space`: by dotted key, as in a grid, what it may be. `trials`:
    how many experiments are made, each called `<name>-trial-<number>`; of a grid, every combination.
    `sampler`: Optuna's `grid`, `random` or `tpe` (which learns from the trials before). `figure`: of the
    evaluation, the one to make better. `pruning` ends trials early that are behind. `at_once`: trials that
    run together, each in a process of its own; the pool says how many of them train.
    """

    name: Name
    description: Description = ""
    base: Name
    space: Annotated[dict[str, Range], Field(min_length=1, max_length=50)]
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    sampler: Literal["grid", "random", "tpe"] = "tpe"
    seed: Seed = 0
    figure: str = "fid"
    pruning: Pruning | None = None
    at_once: Annotated[int, Field(ge=1, le=64)] = 1

    @field_validator("figure")
    @classmethod
    def _known_figure(cls, figure: str) -> str:
        known = [name for metric in METRICS.values() for name in metric.figures]
        known = [name for name in known if FIGURES[name].better in ("lower", "higher")]
        if figure not in known:
            raise ValueError(unknown("no figure to make better is named", figure, known))
        return figure

    @model_validator(mode="after")
    def _consistent(self):
        if self.sampler == "grid":
            self._check_grid()
        elif self.trials is None:
            raise Contradiction("sampler", f"`{self.sampler}` never ends by itself: say how many `trials`")
        if self.count * len(self.space) > MOST_VALUES:
            raise Contradiction(
                "trials",
                f"{self.count:,} trials of {len(self.space)} keys have more than {MOST_VALUES:,} values: "
                "make fewer trials, or vary fewer keys",
            )
        if self.pruning and not self.is_lower_better:
            raise Contradiction(
                "pruning",
                "pruning goes by the in-training FID, which is better where it is lower, and "
                f"`{self.figure}` where it is higher: remove pruning, or set figure to `fid`",
            )
        return self

    def _check_grid(self) -> None:
        for key, values in self.space.items():
            if values.choices is None:
                raise Contradiction(key, f"a grid takes `choices: [...]` of `{key}`, not a range")
        if self.trials is not None:
            raise Contradiction("trials", "a grid has as many trials as combinations: remove trials")
        if self.count > MOST_TRIALS:
            raise Contradiction(
                "space",
                f"the grid has {self.count:,} combinations: a sweep makes at most {MOST_TRIALS:,} trials; "
                "shorten its lists, or set sampler to `random` or `tpe`",
            )

    @property
    def count(self) -> int:
        """How many trials it makes."""
        return self.trials or math.prod(len(values.corners) for values in self.space.values())

    @property
    def most(self) -> int:
        """How many trials there can be: no more than the space has combinations."""
        if any(values.choices is None and not values.is_whole for values in self.space.values()):
            return self.count
        return min(self.count, math.prod(values.size for values in self.space.values()))

    @property
    def is_lower_better(self) -> bool:
        return FIGURES[self.figure].better == "lower"

    @property
    def trial_names(self) -> list[str]:
        """What its trials are called, in their order."""
        return [self.trial_name(number) for number in range(self.count)]

    def trial_name(self, number: int) -> str:
        """What the trial of this number, from 0, is called."""
        return f"{self.name}-trial-{number:03d}"

    def corners(self) -> Iterator[Values]:
        """The combinations to validate: see `MOST_CORNERS`."""
        corners = [values.corners for values in self.space.values()]
        if math.prod(map(len, corners)) <= MOST_CORNERS:
            for point in itertools.product(*corners):
                yield dict(zip(self.space, point, strict=True))
            return
        first = {key: values.corners[0] for key, values in self.space.items()}
        for key, values in self.space.items():
            for value in values.corners:
                yield {**first, key: value}

    def version(self, base: Experiment, dataset: Dataset) -> str:
        """Of what decides which trials there are and what they are measured by: trials of one version
        compare, and another one begins anew. More trials are the same version."""
        own = self.identity(exclude={"name", "description", "trials", "at_once"})
        parts = [own, base.training_identity(), dataset.identity(exclude=WORDS_OF_A_DATASET)]
        text = json.dumps([*parts, list(self.space)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
