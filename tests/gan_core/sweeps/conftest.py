"""A sweep over a small experiment, whose trials are not trained: their figures follow from their values."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest

from gan_core.config import Configs, load_configs, trial_maker
from gan_core.sweeps.running import Running, SweepResult
from gan_core.sweeps.study import Study
from tests.small_project import DATASET, EXPERIMENT, SWEEP, write_config


class Killed(BaseException):
    """Stands for kill -9: nothing that comes after it is done."""


@dataclass
class Trial:
    """What a process would make: after `looks` looks it has its figure, or fails."""

    status: int | None
    looks: int = 0
    reason: str = ""
    interrupted: bool = False

    def poll(self) -> int | None:
        if self.interrupted:
            return 130
        self.looks -= 1
        return self.status if self.looks < 0 else None

    def interrupt(self) -> None:
        self.interrupted = True

    def wait(self) -> None:
        assert self.interrupted


@dataclass
class Workers:
    """`fid`: of a configuration. `curves`: the FIDs on the way there, by experiment. `started`: in order."""

    configs: Callable[[], Configs]
    fid: Callable[..., float]
    curves: Callable[[str], list[float]] = lambda name: []
    demotions: dict[str, int] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    looks: int = 0
    most_at_once: int = 0
    running: list[Trial] = field(default_factory=list)

    def start(self, experiment: str) -> Trial:
        assert experiment in self.configs().experiments  # what makes it reads the files
        self.started.append(experiment)
        reason = self.failing.get(experiment, "")
        trial = Trial(1 if reason else 0, self.looks, reason)
        self.running = [one for one in self.running if one.looks >= 0 and not one.interrupted] + [trial]
        self.most_at_once = max(self.most_at_once, len(self.running))
        return trial

    def fids(self, experiment: str) -> list[float]:
        return self.curves(experiment)

    def measured(self, experiment: str, figure: str) -> tuple[float, int]:
        return self.fid(self.configs().experiment(experiment)), self.demotions.get(experiment, 0)


@dataclass
class Search:
    """The project of a test: `sweep` are keys of its sweep beside those of `SWEEP`."""

    folder: Path
    workers: Workers = None
    storage: optuna.storages.BaseStorage = field(default_factory=optuna.storages.InMemoryStorage)

    def __post_init__(self):
        self.workers = Workers(self.load, lambda experiment: experiment.optimizers.generator.learning_rate)

    def load(self) -> Configs:
        return load_configs(self.folder / "configs")

    def write(self, **sweep) -> None:
        write_config(self.folder / "configs", {**SWEEP, **sweep})

    def study(self) -> Study:
        return Study(trial_maker(self.load(), "search"), self.storage)

    def run(self, study: Study | None = None, **options) -> SweepResult:
        return Running(study or self.study(), self.folder / "configs", self.workers, **options).run()

    @property
    def file(self) -> str:
        return (self.folder / "configs" / "trials" / "search.yaml").read_text()

    def rows(self) -> list[list]:
        return [json.loads(line[4:]) for line in self.file.splitlines() if line.startswith("  - ")]


@pytest.fixture
def search(tmp_path, monkeypatch) -> Search:
    monkeypatch.setattr("gan_core.sweeps.running.LOOK_SECONDS", 0.0)
    for content in (DATASET, EXPERIMENT, SWEEP):
        write_config(tmp_path / "configs", content)
    return Search(tmp_path)
