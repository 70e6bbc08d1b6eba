"""What the store holds of the experiments of a question: a run each, and why others are missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy
import pandas

from gan_core.comparing.figures import has_failed
from gan_core.config import Configs, Experiment, Question
from gan_core.errors import GanError
from gan_core.leaderboard.rows import Entry, entry_of, evaluated_training, staleness
from gan_core.report.curves import read_curves
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading


@dataclass(frozen=True)
class Course:
    """The in-training FIDs of a run by images seen, and how many seconds it had taken when."""

    images: list[float]
    fids: list[float]
    clock_images: list[float]
    clock_seconds: list[float]

    def seconds_at(self, images: float) -> float:
        """Seconds of training until so many images were seen, on a line between the rows of the clock."""
        clock = ([0.0, *self.clock_images], [0.0, *self.clock_seconds])
        return float(numpy.interp(images, *clock))


@dataclass(frozen=True)
class Run:
    """One trained and evaluated experiment. `level`: the in-training FID that is waited for, if any."""

    store: Store
    experiment: Experiment
    entry: Entry
    trained: Manifest
    evaluation: Manifest
    samples: Manifest | None
    level: float | None = None

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def seed(self) -> int:
        return self.experiment.seed

    @property
    def verdict(self) -> str:
        return self.entry.values["verdict"]

    @property
    def failed(self) -> bool:
        return has_failed(self.verdict)

    @property
    def device(self) -> str | None:
        """What it was trained on."""
        return self.trained.details.get("device")

    @property
    def measured_by(self) -> tuple[str | None, int]:
        """What its in-training FIDs compare by: the classifier and how many images."""
        return self.trained.details.get("in_training_classifier"), self.experiment.evaluation_samples

    @cached_property
    def course(self) -> Course | None:
        """None where nothing was measured while it trained."""
        _, evaluations = read_curves(self.store, self.trained)
        if "fid" not in evaluations or "times.parquet" not in self.trained.files:
            return None
        times = pandas.read_parquet(self.store.local(self.trained, "times.parquet"))
        columns = (evaluations["images_seen"], evaluations["fid"], times["images_seen"], times["seconds"])
        return Course(*(column.astype("float64").tolist() for column in columns))


@dataclass
class Found:
    """The runs of a question's experiments, and what is missing: by experiment, why.

    `inputs`: what was read, keyed `<asset>/<partition>`.
    """

    runs: list[Run] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Manifest] = field(default_factory=dict)


def find_runs(store: Store, configs: Configs, question: Question) -> Found:
    """What the store holds of the question's experiments, as they are configured today.

    An experiment that was not evaluated, whose results are of another configuration or of other data, or
    whose manifests are damaged, is missing: it would not be what the question asks about.
    """
    unreadable: dict[str, str] = {}
    names = question.chosen(configs.experiments)
    trained = store.all_current("trained_gan", names, unreadable)
    evaluations = store.all_current("evaluation", names, unreadable)
    samples = store.all_current("samples", names, unreadable)
    found = Found()
    for name in names:
        reasons = [text for key, text in unreadable.items() if key.endswith(f"/{name}")]
        if reasons:
            found.missing[name] = reasons[0]
            continue
        try:
            with reading(f"experiment {name}"):
                run = _run(store, configs.experiments[name], trained, evaluations, samples, question)
        except GanError as error:
            found.missing[name] = str(error)
            continue
        if isinstance(run, str):
            found.missing[name] = run
            continue
        found.runs.append(run)
        for manifest in filter(None, (run.trained, run.evaluation, run.samples)):
            found.inputs[f"{manifest.asset}/{name}"] = manifest
    return found


def _run(
    store: Store,
    experiment: Experiment,
    trained: Mapping[str, Manifest],
    evaluations: Mapping[str, Manifest],
    samples: Mapping[str, Manifest],
    question: Question,
) -> Run | str:
    name = experiment.name
    evaluation, latest = evaluations.get(name), trained.get(name)
    if evaluation is None:
        return "it was trained, but not evaluated" if latest else "it was not trained"
    evaluated = evaluated_training(store, evaluation, latest)
    reason = staleness(store, experiment, evaluation, evaluated, latest)
    if reason or evaluated is None:
        return reason or "the training that was evaluated is no longer in the store"
    entry = entry_of(store, experiment, evaluated, evaluation)
    level = question.fid_to_reach
    return Run(store, experiment, entry, evaluated, evaluation, samples.get(name), level)
