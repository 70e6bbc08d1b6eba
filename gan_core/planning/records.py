"""What earlier runs on this machine took: speed and memory of trainings, seconds of the other steps.

Nothing is guessed: of an experiment that has no record that of another one stands in only where both do the
same work for an image under the same conditions, and it is named.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from gan_core.config import Configs, Experiment, recorded_experiment
from gan_core.errors import GanError
from gan_core.planning.pace import Course, recorded_pace
from gan_core.planning.settings import OF_IMAGES, RecordedSettings
from gan_core.store import Manifest, Store
from gan_core.store.provenance import provenance
from gan_core.training.processes.launch import number_of_processes
from gan_core.training.records.conditions import CONDITIONS, conditions
from gan_core.training.records.memory import MEMORY

# What `sample_every` was where nothing was said, in trainings until 26 November 2026.
DEFAULT_SAMPLING_BEFORE = 50_000
# Of a machine, what makes another one faster or slower. Its system and the exact size of its memory change
# with an update.
OF_A_MACHINE = ("processor", "cores", "gpus")
# What of an experiment an image takes as long and as much memory without.
WITHOUT_COST = {"seed", "length", "learning_rate_decay", "schedules", "ema_half_life", "publish", "stop_on"}
# Likewise of an optimiser.
RATES = {"learning_rate", "betas", "smoothing"}
OF_A_RUN = ("device", "processes")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Estimate(Generic[Value]):
    """Of a run that is yet to be made. `of` names what it was recorded of, where that is another."""

    value: Value
    of: str | None = None


class Records:
    """The trainings, samples, evaluations and analyses of a store that were made on this machine."""

    def __init__(self, store: Store, configs: Configs):
        self.store, self.configs = store, configs
        self.processes = number_of_processes(None)
        self._recorded = RecordedSettings(store)
        self._settings: dict[tuple[str, str], dict[str, str | None]] = {}
        self._read: dict[str, dict[str, Manifest]] = {}

    @cached_property
    def device(self) -> str | None:
        """Where a training is taken to run: on the device of the newest one here in as many processes. What
        it would be today is for torch to say, which takes seconds to import."""
        found = (made.details for made in self._made("trained_gan").values())
        return next((one.get("device") for one in found if one.get("processes") == self.processes), None)

    def training_seconds(
        self,
        experiment: Experiment,
        shards: Manifest | None,
        *,
        images_seen: int = 0,
        begun: str | None = None,
    ) -> Estimate | None:
        """What is left of its training on these shards takes: its steps, and what is evaluated on the way.

        `images_seen` of it are in a checkpoint. `begun`: the fingerprint of one that was begun and has not
        ended, whose own speed it is where no other was recorded."""
        if shards is None:
            return None
        train_images = conditions(experiment, shards)["train_images"]
        course = Course.of(experiment, train_images, experiment.evaluate_every)
        known = self._of_training(
            experiment, shards, lambda made: recorded_pace(made, self._experiments[made.partition])
        )
        if known is None and begun:
            from gan_core.planning.running import pace_here

            pace = pace_here(self.store, experiment.name, begun, course)
            return Estimate(pace.seconds_left(course, images_seen)) if pace else None
        return known and Estimate(known.value.seconds_left(course, images_seen), known.of)

    def memory_bytes(self, experiment: Experiment, shards: Manifest | None, kind: str) -> Estimate | None:
        """The most that its training on these shards held of memory, `host` or `gpu`."""
        return self._of_training(experiment, shards, lambda made: (made.details.get(MEMORY) or {}).get(kind))

    def seconds(self, asset: str, partition: str, dataset: str, settings: str | None) -> Estimate | None:
        """How long a step took with these settings, else the same step of another experiment of its dataset.
        `settings` are None where they are not known yet."""
        recorded = self._settings_of(asset, dataset)
        same = [name for name, one in recorded.items() if settings and one == settings]
        for name in sorted(same, key=lambda name: name != partition)[:1]:
            return Estimate(self._made(asset)[name].seconds, None if name == partition else name)
        return None

    # -- inside

    def _of_training(self, experiment: Experiment, shards: Manifest | None, figure: Any) -> Estimate | None:
        if shards is None or self.device is None:
            return None
        dataset = self.configs.datasets[experiment.dataset]
        run = {
            **{key: getattr(dataset, key) for key in OF_IMAGES},
            "device": self.device,
            "processes": self.processes,
            CONDITIONS: conditions(experiment, shards),
        }
        work = _training_work(experiment, run)
        same = [name for name, one in self._works.items() if one == work]
        for name in sorted(same, key=lambda name: name != experiment.name):
            value = figure(self._made("trained_gan")[name])
            if value:
                return Estimate(value, None if name == experiment.name else name)
        return None

    @cached_property
    def _experiments(self) -> dict[str, Experiment]:
        """As they were trained, the newest first."""
        found = {}
        for name, manifest in self._made("trained_gan").items():
            try:
                found[name] = recorded_experiment(manifest.config, name)
            except GanError:
                continue
        return found

    @cached_property
    def _works(self) -> dict[str, str]:
        """Of trainings, but for those from before their conditions were recorded."""
        return {
            name: _training_work(experiment, self._made("trained_gan")[name].details)
            for name, experiment in self._experiments.items()
            if CONDITIONS in self._made("trained_gan")[name].details
        }

    def _settings_of(self, asset: str, dataset: str) -> dict[str, str | None]:
        """Of the steps that were made for a dataset or its experiments, the newest first."""
        if (asset, dataset) not in self._settings:
            known = self.configs.experiments
            of = {name: known[name].dataset if name in known else name for name in self._made(asset)}
            self._settings[asset, dataset] = {
                name: self._recorded.of(made, dataset)
                for name, made in self._made(asset).items()
                if of[name] == dataset
            }
        return self._settings[asset, dataset]

    def _made(self, asset: str) -> dict[str, Manifest]:
        """What is current of those that this machine made, the newest first."""
        if asset not in self._read:
            names = self.store.list_names(asset)
            found = self.store.all_current(asset, names, {}).items()
            here = [(name, one) for name, one in found if _made_here(one)]
            self._read[asset] = dict(sorted(here, key=lambda item: item[1].created_at, reverse=True))
        return self._read[asset]


def _training_work(experiment: Experiment, run: dict[str, Any]) -> str:
    """What decides the time and the memory of an image, as text to be compared."""
    config = experiment.training_config()
    kept = {key: value for key, value in config.items() if key not in WITHOUT_COST}
    kept["ema_decay"] = experiment.averaging_decay is not None
    kept["optimizers"] = {
        network: {key: value for key, value in one.items() if key not in RATES}
        for network, one in config["optimizers"].items()
    }
    for key in run[CONDITIONS]:
        kept.pop(key, None)  # a key of the configuration where it decides what is trained, too
    of_run = {key: run.get(key) for key in (*OF_IMAGES, *OF_A_RUN)}
    return json.dumps([kept, of_run, _steps_conditions(run[CONDITIONS])], sort_keys=True)


def _steps_conditions(of_run: dict[str, Any]) -> dict[str, Any]:
    """What of the conditions counts for the time between evaluations; how often these come is counted."""
    counted = {key: value for key, value in of_run.items() if key != "evaluate_every"}
    if counted.get("sample_every") == DEFAULT_SAMPLING_BEFORE:
        counted["sample_every"] = None
    return counted


def _made_here(manifest: Manifest) -> bool:
    machine = manifest.provenance.get("machine")
    here = provenance()["machine"]
    return bool(machine) and all(machine.get(key) == here[key] for key in OF_A_MACHINE)
