"""A plan: of each dataset and experiment what would be made, resumed or reused, how long that takes, and how
much memory it needs."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gan_core.config import Configs
from gan_core.planning.records import Estimate, Records
from gan_core.planning.states import DatasetState, ExperimentState, Found, State, Surveyor
from gan_core.store import Store

Action = Literal["make", "resume", "reuse"]
# What follows a training, and how its steps are known to take as long as another's: by what the generator is,
# or by the dataset alone, whose file says what is measured.
AFTER_TRAINING = {"samples": "generator", "evaluation": "dataset", "analysis": "generator"}


@dataclass(frozen=True)
class PlannedStep:
    """One step. `seconds` is None where nothing like it was recorded on this machine; 0 of what is reused."""

    asset: str
    action: Action
    seconds: float | None
    recorded_of: str | None = None
    """The other experiment that the seconds were recorded of."""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Planned:
    """What a dataset or an experiment takes."""

    name: str
    steps: tuple[PlannedStep, ...]

    @property
    def seconds(self) -> float:
        """What is known of the time that it takes."""
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The steps of which no time is known."""
        return tuple(step.asset for step in self.steps if step.seconds is None)

    @property
    def made(self) -> tuple[PlannedStep, ...]:
        """The steps that are not reused."""
        return tuple(step for step in self.steps if step.action != "reuse")

    @property
    def recorded_of(self) -> tuple[str, ...]:
        """The other experiments that times are known from."""
        return tuple(dict.fromkeys(step.recorded_of for step in self.steps if step.recorded_of))

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "seconds_unknown_of": list(self.unknown),
            "steps": [step.record() for step in self.steps],
        }


@dataclass(frozen=True)
class PlannedDataset(_Planned):
    """What a dataset takes before anything is trained on it."""


@dataclass(frozen=True)
class PlannedExperiment(_Planned):
    """What an experiment takes, its training first. `memory` in bytes by `host` and `gpu`, as far as it was
    recorded."""

    state: ExperimentState
    memory: dict[str, Estimate]

    @property
    def training(self) -> PlannedStep:
        return self.steps[0]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        state = self.state
        return {
            **super().record(),
            "dataset": state.experiment.dataset,
            "state": str(state.state),
            "why": list(state.why),
            "running": str(state.running) if state.running else None,
            "images_seen": state.images_seen,
            "total_images": state.total_images,
            "memory_bytes": {kind: asdict(one) for kind, one in self.memory.items()},
        }


@dataclass(frozen=True)
class Plan:
    """What a choice of experiments takes, one after the other."""

    datasets: tuple[PlannedDataset, ...]
    experiments: tuple[PlannedExperiment, ...]

    @property
    def seconds(self) -> float:
        """What is known of the time that it takes."""
        return sum(item.seconds for item in (*self.datasets, *self.experiments))

    @property
    def unknown(self) -> tuple[str, ...]:
        """The datasets and experiments of which some time is not known."""
        return tuple(item.name for item in (*self.datasets, *self.experiments) if item.unknown)

    def count(self, action: Action) -> int:
        """How many trainings are made, resumed or reused."""
        return sum(item.training.action == action for item in self.experiments)

    def memory(self, kind: str) -> float | None:
        """The most that one of the trainings needs, of those that it is known of and that are made."""
        known = [
            item.memory[kind].value
            for item in self.experiments
            if kind in item.memory and item.training.action != "reuse"
        ]
        return max(known, default=None)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "datasets": [item.record() for item in self.datasets],
            "experiments": [item.record() for item in self.experiments],
            "total": {
                "seconds": self.seconds,
                "seconds_unknown_of": list(self.unknown),
                "to_train": self.count("make"),
                "to_resume": self.count("resume"),
                "to_reuse": self.count("reuse"),
                "memory_bytes": {kind: self.memory(kind) for kind in ("host", "gpu")},
            },
        }


def make_plan(store: Store, configs: Configs, names: Iterable[str], *, force: bool = False) -> Plan:
    """The plan of these experiments; with `force` every training is begun again."""
    survey, records = Surveyor(store, configs), Records(store, configs)
    states = [survey.experiment(name) for name in names]
    datasets = [survey.dataset(name) for name in dict.fromkeys(one.experiment.dataset for one in states)]
    fresh = {one.dataset.name for one in datasets if one.found["image_shards"].made is None}
    return Plan(
        tuple(_planned_dataset(one, records) for one in datasets),
        tuple(
            _planned_experiment(one, records, force=force, fresh=one.experiment.dataset in fresh)
            for one in states
        ),
    )


# --- inside -----------------------------------------------------------------------------------------------


def _planned_dataset(state: DatasetState, records: Records) -> PlannedDataset:
    name = state.dataset.name
    return PlannedDataset(name, tuple(_step(one, records, name) for one in state.found.values()))


def _step(found: Found, records: Records, name: str, like: Iterable[str] = ()) -> PlannedStep:
    if found.made:
        return PlannedStep(found.asset, "reuse", 0.0)
    known = records.seconds(found.asset, name, like)
    return PlannedStep(found.asset, "make", known and known.value, known and known.of)


def _planned_experiment(
    state: ExperimentState, records: Records, *, force: bool, fresh: bool
) -> PlannedExperiment:
    """`fresh`: its dataset's shards are to be made, so that nothing that stands on them is reused."""
    name = state.experiment.name
    memory = {
        kind: known for kind in ("host", "gpu") if (known := records.memory_bytes(state.experiment, kind))
    }
    training = _training(state, records, force=force)
    again = fresh or training.action != "reuse"
    steps = [training]
    for asset, alike_by in AFTER_TRAINING.items():
        found = Found(asset) if again else state.found[asset]
        steps.append(_step(found, records, name, _alike(asset, alike_by, state, records)))
    return PlannedExperiment(name, tuple(steps), state, memory)


def _alike(asset: str, alike_by: str, state: ExperimentState, records: Records) -> list[str]:
    """The experiments whose step takes as long, those with the same generator first."""
    made = records.made_of(state.experiment.dataset, asset)
    alike = [name for name in records.alike(state.experiment) if name in made]
    return alike if alike_by == "generator" else [*alike, *made]


def _training(state: ExperimentState, records: Records, *, force: bool) -> PlannedStep:
    done = state.state in (State.TRAINED, State.EVALUATED)
    if done and not force:
        return PlannedStep("trained_gan", "reuse", 0.0)
    resumes = state.state is State.PARTLY and not force
    step = state.found["trained_gan"].step
    rate = records.images_per_second(state.experiment, step.fingerprint if resumes and step else None)
    seconds = None
    if rate and state.total_images is not None:
        left = state.total_images - (state.images_seen if resumes else 0)
        seconds = max(left, 0) / rate.value
    return PlannedStep("trained_gan", "resume" if resumes else "make", seconds, rate and rate.of)
