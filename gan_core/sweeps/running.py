"""Carrying a sweep out: choosing trials, making each in a process of its own, pruning those that are behind.

Whatever makes a trial is handed in (`Workers`): here is only the order of things, which holds wherever this
process is killed. A trial is in Optuna's storage first, then in the file of trials, and only then begun; its
figure is read from the store, where its evaluation is.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gan_core.config.trials import Trials as TrialsFile
from gan_core.config.trials import trials_path, trials_text
from gan_core.durable import make_folder, replace_durably
from gan_core.errors import ConfigError
from gan_core.evaluation.figures import FIGURES
from gan_core.planning.time_left import NO_PLAN, TimeLeft
from gan_core.progress import about
from gan_core.store import Store
from gan_core.store.lease import Lease
from gan_core.sweeps.study import DONE, PRUNED, Study, Trial

LOOK_SECONDS = 0.5
# For another process that carries the same sweep out.
WAIT_SECONDS = 80.0


class Worker(Protocol):
    """What makes one trial: its training, samples and evaluation."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def interrupt(self) -> None:
        """Let it save a checkpoint and end."""

    def wait(self) -> None:
        """Until it has ended; one that does not is killed. An interrupt meanwhile is raised afterwards."""

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""


class Workers(Protocol):
    """What makes trials, and what is measured of them."""

    def start(self, experiment: str) -> Worker: ...

    def fids(self, experiment: str) -> list[float]:
        """The in-training FIDs so far, without those before the first step and after the last one."""

    def measured(self, experiment: str, figure: str) -> tuple[float, int]:
        """The figure of its evaluation, and how far its samples rank below others (see `demotion`)."""


@dataclass
class SweepResult:
    """How the trials of a sweep ended: `failed` says why, by name."""

    trials: list[Trial]
    best: Trial | None
    failed: dict[str, str] = field(default_factory=dict)

    def count(self, state: str) -> int:
        return sum(trial.state == state for trial in self.trials)


def sweep_lease(store: Store, sweep: str, emit: Callable[[str], None]) -> Lease:
    """One process at a time carries a sweep out. Entering raises `LeaseError` where another does."""
    return Lease(store, "sweep", sweep, "", emit, wait=WAIT_SECONDS)


def write_trials(folder: Path, trials: TrialsFile) -> None:
    """The trials of a sweep as a file of the configuration folder, whole at once. Raises `ConfigError` where
    it cannot be written."""
    path = trials_path(folder, trials.sweep)
    temporary = path.with_name(f".{path.name}.new")
    try:
        make_folder(path.parent)
        temporary.write_text(trials_text(trials), encoding="utf-8")
        replace_durably(temporary, path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written, and a sweep keeps its trials there: {error.strerror or error}; "
            "name a configuration folder that can be written with GAN_CONFIGS"
        ) from error


class Running:
    """One process's work on a sweep, whose configuration folder is `folder`.

    `planned`: the seconds of each trial, where they are known. `emit` gets a line at the start and at the end
    of each trial, `observe` the study after each; `still_ours` raises once another process has taken over.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        workers: Workers,
        *,
        planned: Mapping[str, float | None] = NO_PLAN,
        emit: Callable[[str], None] = lambda line: None,
        observe: Callable[[Study], None] = lambda study: None,
        still_ours: Callable[[], None] = lambda: None,
    ):
        self.study, self.sweep, self.folder = study, study.sweep, folder
        self.workers, self.emit, self.observe, self.still_ours = workers, emit, observe, still_ours
        self.left = TimeLeft(self.sweep.trial_names, planned)
        for trial in study.trials:
            if trial.state in (DONE, PRUNED):
                self.left.left.pop(trial.name, None)
        self.began: dict[str, float] = {}
        self.under_way: dict[str, tuple[Trial, Worker]] = {}
        self.failed: dict[str, str] = {}

    def run(self) -> SweepResult:
        """Make every trial that is not there. A trial that fails is left for the next time, and the others
        are made. On an interrupt the trials under way save and end, and it is raised again."""
        self.study.settle()
        self._write()
        try:
            while self._begin_what_fits():
                self._look()
                self.still_ours()
                time.sleep(LOOK_SECONDS)
        finally:
            self._end_all()
        return SweepResult(self.study.trials, self.study.best, self.failed)

    # -- inside

    def _write(self) -> None:
        write_trials(self.folder, self.study.configured())

    def _begin_what_fits(self) -> bool:
        """Whether anything is under way."""
        while len(self.under_way) < self.sweep.at_once and (trial := self._next()):
            self.began[trial.name] = time.monotonic()
            self.emit(
                f"trial {trial.number + 1:,} of {self.sweep.count:,} ({trial.name}): {_in_words(trial)}"
            )
            self.under_way[trial.name] = (trial, self.workers.start(trial.name))
        return bool(self.under_way)

    def _next(self) -> Trial | None:
        """One that was begun before, else a new one."""
        for trial in self.study.unfinished:
            if trial.name not in self.under_way and trial.name not in self.failed:
                return trial
        trial = self.study.next()
        if trial:
            self._write()
        return trial

    def _look(self) -> None:
        for name, (trial, worker) in list(self.under_way.items()):
            status = worker.poll()
            if status is None:
                if self._is_behind(trial):
                    self._prune(trial, worker)
                continue
            del self.under_way[name]
            if status == 0:
                self._done(trial)
            else:
                self.failed[name] = worker.reason or f"status {status}"
                self.study.failed(trial, self.failed[name])
                self._tell(trial, f"FAILED: {self.failed[name]}")

    def _is_behind(self, trial: Trial) -> bool:
        return self.sweep.pruning is not None and self.study.report(trial, self.workers.fids(trial.name))

    def _prune(self, trial: Trial, worker: Worker) -> None:
        worker.interrupt()
        worker.wait()
        del self.under_way[trial.name]
        if worker.poll() == 0:  # it came to its end before the interrupt came
            self._done(trial)
            return
        self.study.pruned(trial)
        self._tell(trial, "pruned: its in-training FID is behind that of the others")

    def _done(self, trial: Trial) -> None:
        if self.sweep.pruning:
            self.study.report(trial, self.workers.fids(trial.name))  # what later trials are compared with
        figure, demotion = self.workers.measured(trial.name, self.sweep.figure)
        self.study.told(trial, figure, demotion)
        below = ", ranks below others: what it draws covers too little or repeats" if demotion else ""
        self._tell(trial, f"{self._written(figure)}{below}")

    def _tell(self, trial: Trial, what: str) -> None:
        self.left.done(trial.name, time.monotonic() - self.began[trial.name])
        best = self.study.best
        of_best = f"; best so far {self._written(best.figure)} ({best.name})" if best else ""
        ended = sum(one.state in (DONE, PRUNED) for one in self.study.trials)
        seconds = self.left.seconds
        left = "time left unknown" if seconds is None else f"about {about(seconds / self.sweep.at_once)} left"
        self.emit(
            f"{trial.name} {what}; {ended:,} of {self.sweep.count:,} trials have ended{of_best}; {left}"
        )
        self.observe(self.study)

    def _written(self, figure: float) -> str:
        shown = FIGURES[self.sweep.figure]
        return f"{shown.label} {shown.write(figure)}"

    def _end_all(self) -> None:
        """Where this ends early, of an error or an interrupt."""
        workers = [worker for _, worker in self.under_way.values()]
        for worker in workers:
            worker.interrupt()
        for worker in workers:
            with suppress(BaseException):  # another interrupt: what ended this is raised already
                worker.wait()


def _in_words(trial: Trial) -> str:
    return ", ".join(f"{key} {value}" for key, value in trial.values.items())
