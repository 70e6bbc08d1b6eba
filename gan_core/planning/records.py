"""What earlier runs on this machine took: speed and memory of trainings, seconds of the other steps.

Nothing is guessed: of an experiment that has no record that of another one stands in only where both do the
same work for an image, and it is named.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gan_core.config import Configs, Experiment, recorded_experiment
from gan_core.errors import GanError
from gan_core.store import Manifest, Store
from gan_core.store.provenance import provenance
from gan_core.training.records.memory import MEMORY

# Of a machine, what makes another one faster or slower. Its system and the exact size of its memory change
# with an update.
OF_A_MACHINE = ("processor", "cores", "gpus")
# What of an experiment an image takes as long without.
WITHOUT_COST = {
    *("dataset", "seed", "length", "learning_rate_decay", "optimizers", "shuffle_window"),
    *("publish", "stop_on", "horizontal_flips", "ema_decay"),
}
OF_IMAGES = ("image_size", "channels")


@dataclass(frozen=True)
class Estimate:
    """A figure of a run that is yet to be made. `of` names what it was recorded of, where that is another."""

    value: float
    of: str | None = None


class Records:
    """The trainings, samples, evaluations and analyses of a store that were made on this machine."""

    def __init__(self, store: Store, configs: Configs):
        self.store, self.configs = store, configs
        self._read: dict[str, dict[str, Manifest]] = {}

    def images_per_second(self, experiment: Experiment, begun: str | None = None) -> Estimate | None:
        """Of its training, with what is measured on the way. `begun`: the fingerprint of one that was begun
        and has not ended, whose own speed it is where no other was recorded."""
        known = self._of_training(experiment, lambda found: found.figures.get("images_per_second"))
        if known is None and begun:
            from gan_core.planning.running import speed_here

            speed = speed_here(self.store, experiment.name, begun)
            return Estimate(speed) if speed else None
        return known

    def memory_bytes(self, experiment: Experiment, kind: str) -> Estimate | None:
        """The most that its training held of memory, `host` or `gpu`."""
        return self._of_training(experiment, lambda found: (found.details.get(MEMORY) or {}).get(kind))

    def seconds(self, asset: str, partition: str, like: Iterable[str] = ()) -> Estimate | None:
        """How long a step took, else the step of the first of `like` that was made here."""
        made = self._made(asset)
        for name in (partition, *like):
            if name in made:
                return Estimate(made[name].seconds, None if name == partition else name)
        return None

    def alike(self, experiment: Experiment) -> list[str]:
        """The trained experiments whose generator does the same work for an image, itself left out."""
        cost = self._cost(experiment)
        return [name for name in self._costs if name != experiment.name and self._costs[name] == cost]

    def made_of(self, dataset: str, asset: str) -> list[str]:
        """The experiments of a dataset of which such a step was made here."""
        known = self.configs.experiments
        return [name for name in self._made(asset) if name in known and known[name].dataset == dataset]

    # -- inside

    def _of_training(self, experiment: Experiment, figure: Any) -> Estimate | None:
        own = self._costs.get(experiment.name) == self._cost(experiment)
        for name in [*([experiment.name] if own else []), *self.alike(experiment)]:
            value = figure(self._made("trained_gan")[name])
            if value:
                return Estimate(value, None if name == experiment.name else name)
        return None

    @cached_property
    def _costs(self) -> dict[str, str]:
        """What decides the time for an image, of every training of this machine, the newest first."""
        made = sorted(self._made("trained_gan").items(), key=lambda item: item[1].created_at, reverse=True)
        found = {}
        for name, manifest in made:
            try:
                found[name] = _cost_of(recorded_experiment(manifest.config, name), manifest.details)
            except GanError:
                continue
        return found

    def _cost(self, experiment: Experiment) -> str:
        dataset = self.configs.datasets[experiment.dataset]
        return _cost_of(experiment, {key: getattr(dataset, key) for key in OF_IMAGES})

    def _made(self, asset: str) -> dict[str, Manifest]:
        if asset not in self._read:
            names = self.store.list_names(asset)
            found = self.store.all_current(asset, names, {}).items()
            self._read[asset] = {name: one for name, one in found if _made_here(one)}
        return self._read[asset]


def _cost_of(experiment: Experiment, images: dict[str, Any]) -> str:
    config = experiment.training_config()
    kept = {key: value for key, value in config.items() if key not in WITHOUT_COST}
    return json.dumps([kept, [images.get(key) for key in OF_IMAGES]], sort_keys=True)


def _made_here(manifest: Manifest) -> bool:
    machine = manifest.provenance.get("machine")
    here = provenance()["machine"]
    return bool(machine) and all(machine.get(key) == here[key] for key in OF_A_MACHINE)
