"""A plan: of each dataset and experiment what would be made, resumed or reused, how long that takes, and how
much memory it needs."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gan_core.config import Configs, Experiment
from gan_core.planning.records import Estimate, Records
from gan_core.planning.settings import planned_settings
from gan_core.planning.states import DatasetState, ExperimentState, Found, State, Surveyor
from gan_core.store import Manifest, Store

Action = Literal["make", "resume", "reuse"]
AFTER_TRAINING = ("samples", "evaluation", "analysis")


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
    memory: dict[str, Estimate[float]]

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
    device: str | None
    """Where trainings are taken to run; None where none was made on this machine in as many processes."""

    processes: int

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

    @property
    def tells_time(self) -> bool:
        """Whether the sum of what is known says something: not of the steps around trainings that are unknown
        themselves."""
        trainings = [item.training for item in self.trained]
        return self.seconds > 0 and (not trainings or any(one.seconds is not None for one in trainings))

    @property
    def trained(self) -> tuple[PlannedExperiment, ...]:
        """The experiments that are trained or gone on with."""
        return tuple(item for item in self.experiments if item.training.action != "reuse")

    def memory(self, kind: str) -> float | None:
        """The most that one of the trainings needs, of those that it is known of."""
        return max((one.memory[kind].value for one in self.trained if kind in one.memory), default=None)

    @property
    def memory_unknown(self) -> tuple[str, ...]:
        """The experiments that are trained and of whose memory nothing was recorded."""
        return tuple(item.name for item in self.trained if not item.memory)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "datasets": [item.record() for item in self.datasets],
            "experiments": [item.record() for item in self.experiments],
            "device": self.device,
            "processes": self.processes,
            "total": {
                "seconds": self.seconds,
                "seconds_unknown_of": list(self.unknown),
                "to_train": self.count("make"),
                "to_resume": self.count("resume"),
                "to_reuse": self.count("reuse"),
                "memory_bytes": {kind: self.memory(kind) for kind in ("host", "gpu")},
                "memory_unknown_of": list(self.memory_unknown),
            },
        }


def make_plan(
    store: Store,
    configs: Configs,
    names: Iterable[str],
    *,
    force: bool = False,
    after_training: tuple[str, ...] = AFTER_TRAINING,
) -> Plan:
    """The plan of these experiments; with `force` every training is begun again. `after_training`: what is
    made of each of them then."""
    survey, records = Surveyor(store, configs), Records(store, configs)
    states = [survey.experiment(name) for name in names]
    datasets = [survey.dataset(name) for name in dict.fromkeys(one.experiment.dataset for one in states)]
    return Plan(
        tuple(_planned_dataset(one, records) for one in datasets),
        tuple(
            _planned_experiment(
                one, survey.dataset(one.experiment.dataset), records, after_training, force=force
            )
            for one in states
        ),
        records.device,
        records.processes,
    )


# --- inside -----------------------------------------------------------------------------------------------


def _planned_dataset(state: DatasetState, records: Records) -> PlannedDataset:
    name = state.dataset.name
    return PlannedDataset(name, tuple(_step(one, name, state, records) for one in state.found.values()))


def _step(
    found: Found, name: str, dataset: DatasetState, records: Records, experiment: Experiment | None = None
) -> PlannedStep:
    if found.made:
        return PlannedStep(found.asset, "reuse", 0.0)
    settings = planned_settings(found.asset, dataset, experiment)
    known = records.seconds(found.asset, name, dataset.dataset.name, settings)
    return PlannedStep(found.asset, "make", known and known.value, known and known.of)


def _planned_experiment(
    state: ExperimentState,
    dataset: DatasetState,
    records: Records,
    after_training: tuple[str, ...],
    *,
    force: bool,
) -> PlannedExperiment:
    experiment, shards = state.experiment, dataset.counted_shards
    estimates = {kind: records.memory_bytes(experiment, shards, kind) for kind in ("host", "gpu")}
    memory = {kind: known for kind, known in estimates.items() if known}
    training = _training(state, shards, records, force=force)
    # Where its shards are to be made, nothing that stands on them is reused.
    again = dataset.found["image_shards"].made is None or training.action != "reuse"
    steps = [training]
    for asset in after_training:
        found = Found(asset) if again else state.found[asset]
        steps.append(_step(found, experiment.name, dataset, records, experiment))
    return PlannedExperiment(experiment.name, tuple(steps), state, memory)


def _training(
    state: ExperimentState, shards: Manifest | None, records: Records, *, force: bool
) -> PlannedStep:
    done = state.state in (State.TRAINED, State.EVALUATED)
    if done and not force:
        return PlannedStep("trained_gan", "reuse", 0.0)
    resumes = state.state is State.PARTLY and not force
    step = state.found["trained_gan"].step
    begun = step.fingerprint if resumes and step else None
    known = records.training_seconds(
        state.experiment, shards, images_seen=state.images_seen if resumes else 0, begun=begun
    )
    action = "resume" if resumes else "make"
    return PlannedStep("trained_gan", action, known and known.value, known and known.of)
