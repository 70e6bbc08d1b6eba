"""What a sweep takes before it is begun: trials, images seen, and hours by recorded speeds.

Which configurations come is not known before they are chosen: as many random ones of the space stand for
them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from gan_core.config import Configs, Experiment, trial_maker
from gan_core.config.sweeps import Range, Sweep, Values
from gan_core.errors import ConfigError
from gan_core.planning import Plan, make_plan
from gan_core.planning.tables import total_text
from gan_core.store import Store
from gan_core.sweeps import MEASURED
from gan_core.sweeps.study import DONE, PRUNED, Study, Trial, open_storage

MOST_DRAWS = 100  # of one trial, where most combinations are no experiments


@dataclass(frozen=True)
class SweepPlan:
    """`ended`: how many trials are done and pruned. `plan`: of the others. `images`: what these show to D,
    None where that is not known before the dataset is made."""

    sweep: Sweep
    done: int
    pruned: int
    plan: Plan
    images: int | None

    @property
    def text(self) -> str:
        """In one sentence."""
        to_come = len(self.plan.experiments)
        states = [(self.done, "done"), (self.pruned, "pruned"), (to_come, "to come")]
        trials = ", ".join(f"{count:,} {word}" for count, word in states if count or word == "to come")
        at_most = "at most " if self.sweep.pruning else ""
        images = "" if self.images is None else f"; {at_most}{self.images:,} images"
        at_once = f" ({self.sweep.at_once} at once)" if self.sweep.at_once > 1 else ""
        return f"{self.sweep.count:,} trials{at_once}: {trials}{images}; {total_text(self.plan)}"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "sweep": self.sweep.name,
            "trials": self.sweep.count,
            "done": self.done,
            "pruned": self.pruned,
            "images": self.images,
            **self.plan.record(),
        }


def plan_sweep(store: Store, configs: Configs, name: str, url: str) -> SweepPlan:
    """The plan of a sweep, as far as it has not been carried out. Makes nothing. `url`: of Optuna's storage,
    which is opened where trials are chosen. Raises `ConfigError`."""
    maker = trial_maker(configs, name)
    chosen = {trial: configs.experiments[trial] for trial in _chosen(configs, name)}
    known = Study(maker, open_storage(url)).trials if chosen else []
    ended = {trial.name for trial in known if trial.state in (DONE, PRUNED)}
    sweep = maker.sweep
    to_come = {
        trial: chosen.get(trial) or _stand_in(maker, trial, number)
        for number, trial in enumerate(sweep.trial_names)
        if trial not in ended
    }
    planned = configs.model_copy(update={"experiments": {**configs.experiments, **to_come}})
    plan = make_plan(store, planned, to_come, after_training=MEASURED)
    return SweepPlan(
        sweep, _count(known, DONE), _count(known, PRUNED), plan, _images(store, to_come, maker.dataset.name)
    )


# --- inside -----------------------------------------------------------------------------------------------


def _chosen(configs: Configs, name: str) -> Iterator[str]:
    for trial, sweep in configs.sweep_of.items():
        if sweep == name and trial in configs.experiments:
            yield trial


def _count(trials: list[Trial], state: str) -> int:
    return sum(trial.state == state for trial in trials)


def _stand_in(maker: Any, trial: str, number: int) -> Experiment:
    for attempt in range(MOST_DRAWS):
        drawn = numpy.random.default_rng((maker.sweep.seed, number, attempt))
        values: Values = {key: _drawn(space, drawn) for key, space in maker.sweep.space.items()}
        try:
            return maker.make(trial, values)
        except ConfigError:  # a combination that no trial has either
            continue
    raise ConfigError(
        f"sweep `{maker.sweep.name}`: {MOST_DRAWS} random combinations of its space are no experiments: "
        "narrow the space"
    )


def _drawn(space: Range, drawn: numpy.random.Generator) -> Any:
    if space.choices is not None:
        return space.choices[drawn.integers(len(space.choices))]
    low, high = (numpy.log(space.low), numpy.log(space.high)) if space.log else (space.low, space.high)
    value = drawn.uniform(low, high)
    value = float(numpy.exp(value)) if space.log else float(value)
    return round(value) if space.is_whole else space.in_configuration(value)


def _images(store: Store, experiments: dict[str, Experiment], dataset: str) -> int | None:
    shards = store.current("image_shards", dataset)
    if shards is None and any(item.length.images is None for item in experiments.values()):
        return None
    train_images = shards.details["splits"]["train"]["images"] if shards else 0
    return sum(item.length.total_images(train_images) for item in experiments.values())
