"""A training while it runs, seen from outside: what it has recorded so far."""

import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gan_core.config import Configs, Experiment
from gan_core.planning.pace import Course, Pace, pace_so_far
from gan_core.planning.states import ExperimentState, State, Surveyor, holder_of
from gan_core.store import Store
from gan_core.training.guards import GRACE, run_guards, verdict_names
from gan_core.training.records.tensorboard import tensorboard_folder

Row = dict[str, float]
OF_A_RUN = ("step", "seconds", "images_per_second")


@dataclass(frozen=True)
class Moment:
    """One look at a training.

    `losses` are the means of the last recorded row, `images_per_second` is that row's, of the steps alone.
    `seconds_left` has the evaluations that are left, too; it is None where nobody trains it. `verdict` is
    None where it is too early to judge; `advice` says what was found, and what usually helps. `running` says
    who trains it, None where nobody does.
    """

    experiment: str
    state: str
    running: str | None
    images_seen: int
    total_images: int | None
    images_per_second: float | None = None
    seconds_left: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    fid_in_training: float | None = None
    fid_best: float | None = None
    diversity: float | None = None
    verdict: str | None = None
    advice: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @property
    def trained(self) -> bool:
        """Whether it has come to its end."""
        return self.state in (State.TRAINED, State.EVALUATED)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.running is None


class Watch:
    """Looks at one training again and again; `look` reads what is new of its records.

    The records are those for TensorBoard, which a training writes to a local folder: of one on another host,
    with a store that both share, only the checkpoints are seen.
    """

    def __init__(self, store: Store, configs: Configs, name: str):
        self.store, self.configs = store, configs
        self.experiment: Experiment = configs.experiment(name)
        self._records: dict[str, TrainingRecords] = {}

    def look(self) -> Moment:
        """The training as it is now."""
        survey = Surveyor(self.store, self.configs)
        state = survey.experiment(self.experiment.name)
        fingerprint, holder = self._fingerprint(state)
        records = self._read(fingerprint)
        rows, evaluations = records.rows("training"), records.rows("evaluation")
        last = rows[-1] if rows else {}
        done = state.state in (State.TRAINED, State.EVALUATED)
        seen = state.images_seen if done else max(state.images_seen, int(last.get("images_seen", 0)))
        rate = last.get("images_per_second")
        left = None
        course = self._course(survey)
        if holder and course and (pace := pace_so_far(rows, course)):
            left = pace.seconds_left(course, seen)
        fids = [row["fid"] for row in evaluations if "fid" in row]
        names = [name for name in last if name not in OF_A_RUN and name != "images_seen"]
        verdict, advice = self._judged(state, seen, rows, evaluations)
        return Moment(
            experiment=self.experiment.name,
            state=str(state.state),
            running=str(holder) if holder else None,
            images_seen=seen,
            total_images=state.total_images,
            images_per_second=rate,
            seconds_left=0.0 if done else left,
            losses={name: last[name] for name in names},
            fid_in_training=fids[-1] if fids else None,
            fid_best=min(fids, default=None),
            diversity=evaluations[-1].get("diversity") if evaluations else None,
            verdict=verdict,
            advice=advice,
        )

    # -- inside

    def _course(self, survey: Surveyor) -> Course | None:
        shards = survey.dataset(self.experiment.dataset).manifest("image_shards")
        if shards is None:
            return None
        train_images = shards.details["splits"]["train"]["images"]
        return Course.of(self.experiment, train_images, self.experiment.evaluate_every)

    def _fingerprint(self, state: ExperimentState) -> tuple[str | None, Any]:
        """Of the training that runs, whatever its configuration, else of today's."""
        relative = f"trained_gan/{self.experiment.name}"
        for fingerprint in self.store.list_names(relative):
            if holder := holder_of(self.store, f"{relative}/{fingerprint}"):
                return fingerprint, holder
        found = state.found["trained_gan"]
        if found.made:
            return found.made.fingerprint, None
        return found.step and found.step.fingerprint, None

    def _read(self, fingerprint: str | None) -> "TrainingRecords":
        if fingerprint is None:
            return TrainingRecords(None)
        if fingerprint not in self._records:
            folder = tensorboard_folder(self.store, self.experiment.name, fingerprint)
            self._records[fingerprint] = TrainingRecords(folder)
        self._records[fingerprint].read()
        return self._records[fingerprint]

    def _judged(
        self, state: ExperimentState, seen: int, rows: list[Row], evaluations: list[Row]
    ) -> tuple[str | None, tuple[str, ...]]:
        trained = state.found["trained_gan"].made
        if trained:
            from gan_core.leaderboard.verdicts import verdict_text

            return verdict_text(trained), ()
        if not rows or seen < GRACE * (state.total_images or 0):
            return None, ()
        findings = run_guards(self.experiment, rows, evaluations, ended=False)
        return verdict_names(findings), tuple(finding.sentence() for finding in findings)


def pace_here(store: Store, experiment: str, fingerprint: str, course: Course) -> Pace | None:
    """That of a training that has not ended, where this host wrote its rows."""
    records = TrainingRecords(tensorboard_folder(store, experiment, fingerprint), f".{socket.gethostname()}.")
    records.read()
    return pace_so_far(records.rows("training"), course)


class TrainingRecords:
    """What a training wrote for TensorBoard, read as far as it is whole; rows are `training` and
    `evaluation`. `folder` None: it is not known.
    `written_by`: a part of the names of the files that count."""

    def __init__(self, folder: Path | None, written_by: str = ""):
        self.folder, self.written_by = folder, written_by
        self._files: dict[str, Any] = {}
        self._rows: dict[str, list[Row]] = {}

    def rows(self, group: str) -> list[Row]:
        return self._rows.get(group, [])

    def read(self) -> None:
        """Take in what is new."""
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        for path in sorted(self.folder.glob("events.out.tfevents.*")) if self.folder else ():
            if self.written_by not in path.name:
                continue
            if path.name not in self._files:
                self._files[path.name] = LegacyEventFileLoader(str(path))
            for event in self._files[path.name].Load():
                self._take(event)

    def _take(self, event: Any) -> None:
        if event.HasField(
            "session_log"
        ):  # what lies beyond the checkpoint that it goes on from is done again
            for rows in self._rows.values():
                rows[:] = [row for row in rows if row["images_seen"] < event.step]
        for group, row in _rows_of(event):
            self._rows.setdefault(group, []).append(row)


def _rows_of(event: Any) -> Iterator[tuple[str, Row]]:
    found: dict[str, Row] = {}
    for value in event.summary.value:
        group, _, name = value.tag.partition("/")
        if name and value.WhichOneof("value") == "simple_value":
            found.setdefault(group, {"images_seen": event.step})[name] = value.simple_value
    yield from found.items()
