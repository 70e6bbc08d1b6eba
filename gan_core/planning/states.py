"""The state of datasets and experiments in a store, by what their steps would reuse today."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from gan_core import steps
from gan_core.config import Configs, Dataset, Experiment, config_changes
from gan_core.errors import DamagedError, GanError
from gan_core.steps import Step
from gan_core.store import Manifest, Store
from gan_core.store.attempts import LEASE, Holder
from gan_core.training.records.conditions import fp32_instead
from gan_core.training.task import TrainingTask, saved_at

# A heartbeat that is older is of a process that stands still, or of one on a host whose clock is far off.
SILENT_SECONDS = 120.0
AGAIN = "begun again with force"


class State(StrEnum):
    """How far an experiment is, with today's configuration, data and code."""

    NEVER = "never trained"
    OUT_OF_DATE = "out of date"
    PARTLY = "partly trained"
    TRAINED = "trained"
    EVALUATED = "evaluated"


@dataclass(frozen=True)
class Found:
    """One step: its artefact where it is there, else what was made of it last, and whether it could not be
    told (`problem`)."""

    asset: str
    made: Manifest | None = None
    """What the step would reuse."""

    last: Manifest | None = None
    """What is current: of another configuration or other inputs where it is not `made`."""

    step: Step | None = None
    """None where an input of it is yet to be made."""

    problem: str | None = None


@dataclass(frozen=True)
class DatasetState:
    """The steps of a dataset in the order in which they are made."""

    dataset: Dataset
    found: dict[str, Found]

    @property
    def ready(self) -> bool:
        """Whether nothing of it is to be made."""
        return all(one.made for one in self.found.values())

    @property
    def state(self) -> str:
        """`not prepared`, `partly prepared` or `ready`."""
        if self.ready:
            return "ready"
        return "partly prepared" if any(one.made for one in self.found.values()) else "not prepared"

    @property
    def counted_shards(self) -> Manifest | None:
        """Shards that hold as many images as today's do: of the same collected images, the same of them left
        out. None where nobody has counted them."""
        raw, shards = self.found["raw_images"].made, self.manifest("image_shards")
        if raw is None or shards is None:
            return None
        inputs = {"raw_images": raw.fingerprint}
        if self.dataset.removes_duplicates:
            found = self.found["duplicates"].made
            inputs["duplicates"] = found.fingerprint if found else ""
        return shards if shards.inputs == inputs else None

    def manifest(self, asset: str) -> Manifest | None:
        """What a step would be given: today's artefact, else the one that is there."""
        one = self.found[asset]
        return one.made or one.last


@dataclass(frozen=True)
class ExperimentState:
    """How far an experiment is. `images_seen` of `total_images` are in its newest checkpoint or its training;
    `why` says what is out of date, and what of a training is not as it was asked for; `running` who trains
    it now."""

    experiment: Experiment
    state: State
    images_seen: int = 0
    total_images: int | None = None
    why: tuple[str, ...] = ()
    running: Holder | None = None
    found: dict[str, Found] = field(default_factory=dict)

    @property
    def in_words(self) -> str:
        """`partly trained (1,200 of 6,400 images)`, `out of date (batch_size 64 → 128)`."""
        reason = "; ".join(self.why)
        if self.state is State.PARTLY:
            of_total = f" of {self.total_images:,}" if self.total_images else ""
            reason = f"{self.images_seen:,}{of_total} images"
        return f"{self.state}{reason and f' ({reason})'}{self._now}"

    @property
    def in_short(self) -> str:
        """`partly trained (19%)`, `out of date`."""
        share = ""
        if self.state is State.PARTLY and self.total_images:
            share = f" ({self.images_seen / self.total_images:.0%})"
        return f"{self.state}{share}{self._now}"

    @property
    def _now(self) -> str:
        return ", running" if self.running else ""


class Surveyor:
    """Looks at a store, each dataset once."""

    def __init__(self, store: Store, configs: Configs):
        self.store, self.configs = store, configs
        self._datasets: dict[str, DatasetState] = {}

    def dataset(self, name: str) -> DatasetState:
        """What is there of a dataset."""
        if name not in self._datasets:
            look = _DatasetLook(self.store, self.configs.datasets[name])
            self._datasets[name] = DatasetState(look.dataset, look.found)
        return self._datasets[name]

    def experiment(self, name: str) -> ExperimentState:
        """What is there of an experiment."""
        experiment = self.configs.experiments[name]
        return _ExperimentLook(self.store, experiment, self.dataset(experiment.dataset)).state


def holder_of(store: Store, folder: str) -> Holder | None:
    """Who makes the artefact of a folder now, such as `trained_gan/<experiment>/<fingerprint>`."""
    numbers = sorted(
        int(match["number"])
        for name in store.list_names(folder)
        if (match := LEASE.fullmatch(name)) and not match["written"]
    )
    if not numbers:
        return None
    holder = Holder.read(store.read_bytes(f"{folder}/lease-{numbers[-1]:06d}.json"))
    silent = holder is None or holder.is_gone() or time.time() - holder.heartbeat > SILENT_SECONDS
    return None if silent else holder


# --- inside -----------------------------------------------------------------------------------------------


def _current(store: Store, asset: str, partition: str) -> Manifest | None:
    """A damaged one is to be made again, as one that is not there."""
    try:
        return store.current(asset, partition)
    except DamagedError:
        return None


def _find(store: Store, asset: str, partition: str, step_of: Callable[[], Step | None]) -> Found:
    """`step_of` gives None where an input is yet to be made, and raises where the step would be refused."""
    last = _current(store, asset, partition)
    try:
        step = step_of()
    except GanError as error:
        return Found(asset, last=last, problem=str(error))
    if step is None:
        return Found(asset, last=last)
    return Found(asset, _there(store, step), last, step)


def _there(store: Store, step: Step) -> Manifest | None:
    """The artefact as the step would reuse it; without the hashes of its files, which take long."""
    where = step.asset, step.partition, step.fingerprint
    try:
        if store.is_begun_again(*where):
            return None
        manifest = store.read_manifest(*where)
    except DamagedError:
        return None
    return manifest if manifest and not store.problems(manifest, hashes=False) else None


class _DatasetLook:
    """The steps of one dataset. Its images are those that were collected last: whether the source has others
    now is not looked at, as that can take as long as collecting them."""

    def __init__(self, store: Store, dataset: Dataset):
        self.store, self.dataset = store, dataset
        self.raw = self._raw()
        self.found = {one.asset: one for one in self._all()}

    def _raw(self) -> Found:
        last = _current(self.store, "raw_images", self.dataset.name)
        same = last and last.config.get("kind") == self.dataset.source.kind
        same = same and last.config.get("classes") == self.dataset.model_dump(mode="json")["classes"]
        chosen = steps.chosen_images(self.dataset)
        same = same and last.details.get(steps.CHOSEN, chosen) == chosen  # before it was recorded: unknown
        return Found("raw_images", last if same else None, last)

    def _all(self) -> list[Found]:
        raw, dataset = self.raw.made, self.dataset
        found = [self.raw]
        duplicates = None
        if dataset.deduplicate is not None:
            one = self._find("duplicates", lambda: raw and steps.duplicates(dataset, raw))
            duplicates = one.made
            found.append(one)
        waits = dataset.removes_duplicates and duplicates is None
        shards = self._find(
            "image_shards",
            lambda: None if raw is None or waits else steps.image_shards(dataset, raw, duplicates),
        )
        classifier = self._find("classifier", lambda: shards.made and steps.classifier(dataset, shards.made))
        reference = self._find(
            "reference_statistics",
            lambda: (
                steps.reference_statistics(dataset, shards.made, classifier.made)
                if shards.made and classifier.made
                else None
            ),
        )
        return [*found, shards, classifier, reference]

    def _find(self, asset: str, step_of: Callable[[], Step | None]) -> Found:
        return _find(self.store, asset, self.dataset.name, step_of)


class _ExperimentLook:
    def __init__(self, store: Store, experiment: Experiment, dataset: DatasetState):
        self.store, self.experiment, self.dataset = store, experiment, dataset
        self.shards = dataset.manifest("image_shards")
        self.classifier = dataset.manifest("classifier")

    @property
    def state(self) -> ExperimentState:
        training = self.training
        found = {one.asset: one for one in (training, *self.after(training.made))}
        running = holder_of(self.store, _folder(training.step)) if training.step else None
        if training.made:
            state = State.EVALUATED if found["evaluation"].made else State.TRAINED
            seen = training.made.figures.get("images_seen") or 0
            why = (*self._why_not_evaluated(found), *filter(None, [fp32_instead(training.made)]))
            return self._state(state, seen, found, running, why)
        goes_on = training.step if not self._shards_outdated else None
        seen = (goes_on and saved_at(self.store, goes_on)) or 0
        if seen:
            return self._state(State.PARTLY, seen, found, running)
        if training.last:
            return self._state(State.OUT_OF_DATE, 0, found, running, self._changes(training.last))
        return self._state(State.NEVER, 0, found, running)

    @cached_property
    def training(self) -> Found:
        def step() -> Step | None:
            waits = self.experiment.decided_by_evaluation and self.classifier is None
            ready = self.shards is not None and not waits
            return steps.trained_gan(self.experiment, self.shards, self.classifier) if ready else None

        found = _find(self.store, "trained_gan", self.experiment.name, step)
        if self.shards is None and found.last and not config_changes(found.last.config, self.experiment):
            return Found(found.asset, found.last, found.last)  # its data was removed, or never copied here
        if self._shards_outdated and found.made:
            return Found(found.asset, None, found.last, found.step)
        return found

    @property
    def _shards_outdated(self) -> bool:
        """Whether there are shards, but others would be made today."""
        return self.shards is not None and self.dataset.found["image_shards"].made is None

    def after(self, trained: Manifest | None) -> list[Found]:
        """Samples, evaluation and analysis of a training."""
        name, dataset, of = self.experiment.name, self.dataset.dataset, self.dataset.found
        shards, classifier = of["image_shards"].made, of["classifier"].made
        reference = of["reference_statistics"].made
        samples = _find(
            self.store,
            "samples",
            name,
            lambda: steps.samples(self.experiment, dataset, trained, shards) if trained and shards else None,
        )
        evaluation = _find(
            self.store,
            "evaluation",
            name,
            lambda: (
                steps.evaluation(dataset, samples.made, reference, classifier)
                if samples.made and reference
                else None
            ),
        )
        analysis = _find(
            self.store,
            "analysis",
            name,
            lambda: (
                steps.analysis(self.experiment, dataset, trained, shards, classifier)
                if trained and shards and classifier
                else None
            ),
        )
        return [samples, evaluation, analysis]

    def _state(
        self,
        state: State,
        images_seen: int,
        found: dict[str, Found],
        running: Holder | None,
        why: tuple[str, ...] = (),
    ) -> ExperimentState:
        total = self.total_images
        return ExperimentState(self.experiment, state, images_seen, total, why, running, found)

    @property
    def total_images(self) -> int | None:
        """The length of a run; None where it is counted in epochs of images that nobody has counted."""
        if self.shards is None:
            return self.experiment.length.images
        task = TrainingTask(experiment=self.experiment, dataset=self.dataset.dataset, shards=self.shards)
        return task.total_images

    def _changes(self, trained: Manifest) -> tuple[str, ...]:
        changes = config_changes(trained.config, self.experiment)
        if changes:
            return tuple(changes)
        if trained.code_version != self._code_version:
            return ("the code of the training has changed",)
        step = self.training.step
        if self._shards_outdated or step is None or step.fingerprint != trained.fingerprint:
            return (f"dataset {self.dataset.dataset.name} has changed",)
        return (AGAIN,) if self._is_begun_again(step) else ("its files are damaged",)

    def _is_begun_again(self, step: Step) -> bool:
        return self.store.is_begun_again(step.asset, step.partition, step.fingerprint)

    @property
    def _code_version(self) -> str:
        return Step("trained_gan", self.experiment.name, {}).code_version

    def _why_not_evaluated(self, found: dict[str, Found]) -> tuple[str, ...]:
        """Something that is there, but of an earlier training or protocol; or that cannot be told."""
        evaluation = found["evaluation"]
        if evaluation.made:
            return ()
        if evaluation.problem:
            return (evaluation.problem,)
        return ("its evaluation is out of date",) if evaluation.last else ()


def _folder(step: Step) -> str:
    return f"{step.asset}/{step.partition}/{step.fingerprint}"
