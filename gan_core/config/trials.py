"""The trials of sweeps: `configs/trials/<sweep>.yaml` holds the values that were chosen, and each trial is an
experiment like any other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from gan_core.config.base import Config, Contradiction, Name
from gan_core.config.datasets import Dataset
from gan_core.config.experiments import Experiment
from gan_core.config.grids import with_values
from gan_core.config.mistakes import validated
from gan_core.config.sweeps import MOST_TRIALS, Sweep, Values
from gan_core.config.yaml_files import Document

FOLDER = "trials"
# What of an experiment is no matter of a search.
NOT_SEARCHED = {
    "name": "each trial gets one of its own",
    "description": "it changes nothing",
    "tags": "they change nothing",
    "dataset": "figures of several datasets do not compare: write a sweep for each",
    "seed": "the best of several seeds is luck: make the best configuration again with other seeds",
}


class Trials(Config):
    """One file of `configs/trials/`, written by a sweep: of each trial, in their order, the values of the
    sweep's keys. `version`: see `Sweep.version`."""

    sweep: Name
    version: str
    keys_that_vary: tuple[str, ...]
    trials: Annotated[tuple[tuple[Any, ...], ...], Field(max_length=MOST_TRIALS)] = ()

    @model_validator(mode="after")
    def _whole(self):
        for number, values in enumerate(self.trials):
            if len(values) != len(self.keys_that_vary):
                raise Contradiction(
                    "trials",
                    f"trial {number} has {len(values)} values for {len(self.keys_that_vary)} keys: the file "
                    "was edited or is damaged; remove it, and run the sweep, which writes it again",
                )
        return self

    @property
    def by_key(self) -> list[Values]:
        """The values of each trial by key."""
        return [dict(zip(self.keys_that_vary, values, strict=True)) for values in self.trials]


class TrialMaker:
    """Makes the trials of `sweep` from the file of its base, of which `base` is one experiment and `values`
    are what its own grid sets."""

    def __init__(
        self, sweep: Sweep, base: Experiment, dataset: Dataset, document: Document, values: Mapping[str, Any]
    ):
        self.sweep, self.base, self.dataset, self.document = sweep, base, dataset, document
        self.data = {key: value for key, value in document.data.items() if key != "grid"}
        self.data = with_values(self.data, dict(values), document)

    @property
    def version(self) -> str:
        return self.sweep.version(self.base, self.dataset)

    def make(self, name: str, values: Values, told_at: Document | None = None) -> Experiment:
        """The base with other `values`. Raises `ConfigError` where that is none, with the lines of
        `told_at`, by default the base's file."""
        told_at = told_at or self.document
        of_trial = {
            "name": name,
            "description": f"A trial of the sweep {self.sweep.name}.",
            "tags": ["trial"],
        }
        data = with_values(self.data, {key: self._listed(value) for key, value in values.items()}, told_at)
        return validated(Experiment, data | of_trial, told_at)

    @staticmethod
    def _listed(value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value


def trials_path(folder: Path, sweep: str) -> Path:
    """Where the trials of a sweep are, in a configuration folder."""
    return folder / FOLDER / f"{sweep}.yaml"


def trials_text(trials: Trials) -> str:
    """The file's content, a line for each trial."""
    rows = "".join(f"\n  - {json.dumps(values)}" for values in trials.trials) or " []"
    return (
        f"# Written by the sweep {trials.sweep}: the values of its trials. Keep it: it says what they are.\n"
        f"sweep: {trials.sweep}\n"
        f'version: "{trials.version}"\n'
        f"keys_that_vary: {json.dumps(trials.keys_that_vary)}\n"
        f"trials:{rows}\n"
    )


def chosen_values(maker: TrialMaker, path: Path) -> list[Values]:
    """The values of the trials that the file at `path` has, in their order; none of another version of the
    sweep, or without a file. Raises `ConfigError`."""
    if not path.exists():
        return []
    document = Document(path)
    trials = validated(Trials, document.data, document)
    return trials.by_key if trials.version == maker.version else []
