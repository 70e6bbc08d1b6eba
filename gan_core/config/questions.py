"""The schema of `configs/questions/*.yaml`: questions that experiments answer."""

import fnmatch
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from gan_core.comparing.figures import COMPARED
from gan_core.config.base import Config, Contradiction, Description, Name
from gan_core.config.experiments import Experiment
from gan_core.config.mistakes import unknown

Pattern = Annotated[str, Field(min_length=1, max_length=100)]
DEFAULT_FIGURES = ("fid", "recall", "coverage")


class Question(Config):
    """One file of `configs/questions/`: what experiments are compared, and by which figures.

    `question`: in words. `experiments`: names, or shell patterns such as `digits-wgan-*`. `labels`: what
    configurations are called, and the pattern of their experiments. `along`: the configuration keys by which
    the others are told apart, such as `batch_size`; where they are not given, they are found. `figures`:
    those that answer it, of any metric (`fid`, `recall`, …) or of the trainings (`failed`, `fid_spread`, …;
    see `gan_core.comparing.figures`). `fid_to_reach`: the in-training FID that `seconds_to_fid` and
    `images_to_fid` wait for.
    """

    name: Name
    question: Annotated[str, Field(min_length=1, max_length=500)]
    description: Description = ""
    experiments: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    labels: dict[Annotated[str, Field(min_length=1, max_length=100)], Pattern] = {}
    along: tuple[str, ...] = ()
    figures: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_FIGURES
    fid_to_reach: Annotated[float, Field(gt=0)] | None = None

    @field_validator("figures")
    @classmethod
    def _known(cls, figures: tuple[str, ...]) -> tuple[str, ...]:
        for name in figures:
            if name not in COMPARED:
                raise ValueError(unknown("no figure that compares is named", name, COMPARED))
        if len(set(figures)) != len(figures):
            raise ValueError("figures names one twice: remove one of them")
        return figures

    @model_validator(mode="after")
    def _level(self):
        waiting = [name for name in self.figures if COMPARED[name].needs_level]
        if waiting and self.fid_to_reach is None:
            raise Contradiction(
                "figures", f"figure `{waiting[0]}` needs `fid_to_reach`, the FID that a training is to reach"
            )
        if self.fid_to_reach is not None and not waiting:
            levels = " or ".join(f"`{name}`" for name, item in COMPARED.items() if item.needs_level)
            raise Contradiction("fid_to_reach", f"fid_to_reach is for the figures {levels}: remove it")
        return self

    def chosen(self, experiments: Iterable[str]) -> list[str]:
        """The experiments of these names that it compares, in their order."""
        return [
            name
            for name in experiments
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.experiments)
        ]

    def label_of(self, experiment: str) -> str | None:
        """What `labels` calls the configuration of an experiment; None where it calls it nothing."""
        found = (label for label, pattern in self.labels.items() if fnmatch.fnmatchcase(experiment, pattern))
        return next(found, None)

    def unmatched(self, experiments: Iterable[str]) -> list[tuple[tuple[str, str | int], str]]:
        """(place in the file, pattern) of the patterns that match none of these names."""
        names = list(experiments)
        places = [(("experiments", i), pattern) for i, pattern in enumerate(self.experiments)]
        places += [(("labels", label), pattern) for label, pattern in self.labels.items()]
        return [
            (place, pattern)
            for place, pattern in places
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names)
        ]

    def unknown_keys(self, experiments: Iterable[Experiment]) -> list[str]:
        """Those of `along` that the configurations of `experiments` do not have."""
        known = {key for item in experiments for key in item.dotted()}
        return [key for key in self.along if key not in known]
