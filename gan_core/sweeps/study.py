"""What Optuna knows of a sweep: which trials were chosen, what became of each, and which one comes next.

Everything is in Optuna's storage before anything else is done with it, so that whoever opens it again goes on
where the last one stopped: a trial without an end is unfinished, however its process ended.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_core.config import Experiment
from gan_core.config.sweeps import Range, Sweep, Values
from gan_core.config.trials import TrialMaker, Trials
from gan_core.errors import ConfigError
from gan_core.secrets import masked

if TYPE_CHECKING:
    import optuna

STORAGE = "GAN_SWEEPS"
# Asked so often in vain for a configuration that is another one than those before, a space is used up.
MOST_REPEATS = 200
NUMBER, INVALID, DEMOTION, FAILED = "number", "invalid", "demotion", "failed"
FEWEST_TO_EXPLAIN = 4
DONE, PRUNED, UNFINISHED = "done", "pruned", "unfinished"


@dataclass(frozen=True)
class Trial:
    """An experiment of a sweep. `values`: of the sweep's keys, as its configuration has them. `state`: `done`
    with its `figure`, `pruned`, or `unfinished`, which is `failed` for a reason where one is known.
    `demotion`: how far its samples rank below others, whatever the figure (see `demotion` of the verdicts).
    """

    number: int
    name: str
    values: Values
    state: str
    figure: float | None = None
    demotion: int = 0
    failed: str = ""


def storage_url(folder: Path) -> str:
    """GAN_SWEEPS, such as `postgresql://…`, else a database in `folder`, where Dagster has its state."""
    return os.environ.get(STORAGE) or f"sqlite:///{folder / 'sweeps.db'}"


def open_storage(url: str) -> "optuna.storages.BaseStorage":
    """Optuna's storage. Raises `ConfigError` where Optuna is not installed, or cannot open it."""
    optuna = _optuna()
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return optuna.storages.RDBStorage(url)
    except (ImportError, ValueError, SQLAlchemyError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(
            f"Optuna's storage {masked(url)} cannot be opened: {reason[:300]}; mend that, or name another "
            f"one with {STORAGE}"
        ) from error


class Study:
    """The study of one version of a sweep. One process at a time works with it (see `sweep_lease`)."""

    def __init__(self, maker: TrialMaker, storage: "optuna.storages.BaseStorage"):
        self.maker, self.sweep = maker, maker.sweep
        self.optuna = _optuna()
        self.study = self.optuna.create_study(
            storage=storage,
            study_name=f"{self.sweep.name}-{maker.version}",
            direction="minimize" if self.sweep.is_lower_better else "maximize",
            pruner=self._pruner(),
            load_if_exists=True,
        )

    @property
    def trials(self) -> list[Trial]:
        """Those that are experiments, in their order."""
        found = [self._trial(one) for one in self._frozen() if NUMBER in one.user_attrs]
        return sorted(found, key=lambda trial: trial.number)

    @property
    def unfinished(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == UNFINISHED]

    @property
    def best(self) -> Trial | None:
        """The done one of the best figure, among those whose samples nothing speaks against if there are
        any; None where none is done."""
        sign = 1.0 if self.sweep.is_lower_better else -1.0
        done = [trial for trial in self.trials if trial.state == DONE]
        return min(done, key=lambda trial: (trial.demotion, sign * trial.figure), default=None)

    def experiment(self, name: str) -> Experiment:
        """The configuration of a trial."""
        values = next(trial.values for trial in self.trials if trial.name == name)
        return self.maker.make(name, values)

    def restore(self, known: Sequence[Values]) -> None:
        """Where the storage is new: the trials that are configured already, in their order, are the first
        ones to be chosen."""
        if not self._frozen():
            for values in known:
                drawn = {key: _drawn(self.sweep.space[key], value) for key, value in values.items()}
                self.study.enqueue_trial(drawn)

    def next(self) -> Trial | None:
        """Choose another trial; None where there are enough, or the space has no other configuration."""
        for _ in range(self.sweep.count + MOST_REPEATS):
            count = len(self.trials)
            if count >= self.sweep.most:
                return None
            self._settle_drawn()
            found = self._number(self._ask(), count)
            if found:
                return found
        return None

    def settle(self) -> None:
        """Number what was being chosen when the last process ended."""
        self._settle_drawn()

    def told(self, trial: Trial, figure: float, demotion: int) -> None:
        """The trial is done."""
        self._set_demotion(self._live(trial), demotion)
        self._tell(self._of(trial).number, figure)

    def failed(self, trial: Trial, reason: str) -> None:
        """The trial could not be made; it stays unfinished, and who goes on with the sweep tries again."""
        self._live(trial).set_user_attr(FAILED, reason)

    def report(self, trial: Trial, fids: Sequence[float]) -> bool:
        """Whether a trial with these in-training FIDs, from the first one after its start, is to be pruned:
        it is behind the others where it came to a rung."""
        live = self._live(trial)
        for step, fid in enumerate(fids, 1):
            if step in self._of(trial).intermediate_values:
                continue
            live.report(fid, step)
            if live.should_prune():
                return True
        return False

    def pruned(self, trial: Trial) -> None:
        """The trial was ended early."""
        self._tell(self._of(trial).number, state=self.optuna.trial.TrialState.PRUNED)

    def importances(self) -> dict[str, float]:
        """By key, which share of what varies among the done trials' figures it explains (functional ANOVA,
        Hutter et al. 2014); empty of fewer than four, or where all are alike."""
        done = [trial for trial in self.trials if trial.state == DONE]
        if len(done) < FEWEST_TO_EXPLAIN or len({trial.figure for trial in done}) < 2:
            return {}
        evaluator = self.optuna.importance.FanovaImportanceEvaluator(seed=self.sweep.seed)
        found = self.optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {key: float(share) for key, share in found.items()}

    def configured(self) -> Trials:
        """The trials as the file of the sweep has them."""
        return Trials(
            sweep=self.sweep.name,
            version=self.maker.version,
            keys_that_vary=tuple(self.sweep.space),
            trials=tuple(tuple(trial.values.values()) for trial in self.trials),
        )

    # -- inside

    def _pruner(self) -> "optuna.pruners.BasePruner":
        pruning = self.sweep.pruning
        if pruning is None:
            return self.optuna.pruners.NopPruner()
        return self.optuna.pruners.SuccessiveHalvingPruner(
            min_resource=pruning.first, reduction_factor=pruning.reduction
        )

    def _sampler(self, *place: int) -> "optuna.samplers.BaseSampler":
        """Its random numbers are those of a place in the sweep, the number of a trial and of a key, whichever
        process asks: a sweep that was killed goes on as it would have."""
        import numpy

        seed = int(numpy.random.SeedSequence((self.sweep.seed, *place)).generate_state(1)[0])
        samplers = self.optuna.samplers
        if self.sweep.sampler == "grid":
            choices = {key: _choices(values) for key, values in self.sweep.space.items()}
            return samplers.GridSampler(choices, seed=seed)
        if self.sweep.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed)

    def _tell(self, number: int, figure: float | None = None, **options: Any) -> None:
        # The grid's sampler would stop Optuna's own loop after the last combination, which is not used.
        self.study.sampler = self.optuna.samplers.RandomSampler()
        self.study.tell(number, figure, **options)

    def _frozen(self) -> "list[optuna.trial.FrozenTrial]":
        return self.study.get_trials(deepcopy=False)

    def _ask(self) -> "optuna.Trial":
        self.study.sampler = self._sampler(len(self._frozen()))
        return self.study.ask()

    def _settle_drawn(self) -> None:
        """A process that was killed may have left a trial whose values are not all drawn yet."""
        running = self.optuna.trial.TrialState.RUNNING
        for one in self._frozen():
            if one.state == running and NUMBER not in one.user_attrs:
                self.study.sampler = self._sampler(one.number)
                self.study.sampler.before_trial(self.study, one)
                live = self.optuna.trial.Trial(self.study, one._trial_id)
                self._number(live, len(self.trials))

    def _number(self, live: "optuna.Trial", number: int) -> Trial | None:
        """Draw its values; None, and the end of it, where they are those of another trial, or make no
        experiment."""
        values = {}
        for position, (key, space) in enumerate(self.sweep.space.items()):
            self.study.sampler = self._sampler(live.number, position)
            values[key] = _suggested(live, key, space)
        same = next((trial for trial in self.trials if trial.values == values), None)
        if same is not None:
            self._end_like(live, same)
            return None
        try:
            self.maker.make(self.sweep.trial_name(number), values)
        except ConfigError as error:
            live.set_user_attr(INVALID, str(error))
            self._tell(live.number, state=self.optuna.trial.TrialState.FAIL)
            return None
        live.set_user_attr(NUMBER, number)
        return self.trials[number]

    def _end_like(self, live: "optuna.Trial", same: Trial) -> None:
        if same.state == DONE:
            self._set_demotion(live, same.demotion)
            self._tell(live.number, same.figure)
        else:
            self._tell(live.number, state=self.optuna.trial.TrialState.FAIL)

    @staticmethod
    def _set_demotion(live: "optuna.Trial", demotion: int) -> None:
        """What repeats images or drops classes is no solution for TPE, whatever its figure."""
        if DEMOTION not in live.user_attrs:
            live.set_constraint(DEMOTION, demotion)
            live.set_user_attr(DEMOTION, demotion)

    def _live(self, trial: Trial) -> "optuna.Trial":
        return self.optuna.trial.Trial(self.study, self._of(trial)._trial_id)

    def _of(self, trial: Trial) -> "optuna.trial.FrozenTrial":
        return next(one for one in self._frozen() if one.user_attrs.get(NUMBER) == trial.number)

    def _trial(self, one: "optuna.trial.FrozenTrial") -> Trial:
        states = self.optuna.trial.TrialState
        number = one.user_attrs[NUMBER]
        return Trial(
            number=number,
            name=self.sweep.trial_name(number),
            values=dict(_values(self.sweep, one.params)),
            state={states.COMPLETE: DONE, states.PRUNED: PRUNED}.get(one.state, UNFINISHED),
            figure=one.value if one.state == states.COMPLETE else None,
            demotion=one.user_attrs.get(DEMOTION, 0),
            failed=one.user_attrs.get(FAILED, "") if one.state == states.RUNNING else "",
        )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "a sweep needs Optuna, which is not installed: run `pip install 'gan-pipelines[sweeps]'`"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _choices(space: Range) -> list[str]:
    """As Optuna keeps them: it takes no lists."""
    return [json.dumps(value) for value in space.choices]


def _suggested(live: "optuna.Trial", key: str, space: Range) -> Any:
    if space.choices is not None:
        return json.loads(live.suggest_categorical(key, _choices(space)))
    if space.is_whole:
        return live.suggest_int(key, space.low, space.high, log=space.log)
    return space.in_configuration(live.suggest_float(key, space.low, space.high, log=space.log))


def _drawn(space: Range, value: Any) -> Any:
    return value if space.choices is None else json.dumps(value)


def _values(sweep: Sweep, params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, space in sweep.space.items():
        value = params[key]
        yield key, json.loads(value) if space.choices is not None else space.in_configuration(value)
