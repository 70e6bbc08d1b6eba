"""A sweep from its dataset to its summary: what the command and the asset have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gan_core.config import Configs, trial_maker
from gan_core.config.trials import chosen_values, trials_path
from gan_core.planning.time_left import planned_seconds
from gan_core.store import Manifest, Store
from gan_core.sweeps.plan import plan_sweep
from gan_core.sweeps.processes import JobProcesses, StoreWorkers
from gan_core.sweeps.running import Running, SweepResult, sweep_lease
from gan_core.sweeps.study import Study, open_storage
from gan_core.sweeps.summary import publish_sweep


@dataclass(frozen=True)
class Jobs:
    """What makes the parts of a sweep: the `command` of a process that takes jobs (see `serve`), and the
    words of those for a dataset and an experiment by name, and for the tables over all."""

    command: Sequence[str]
    dataset: Callable[[str], Sequence[str]]
    experiment: Callable[[str], Sequence[str]]
    tables: Sequence[str]


def carry_out(
    store: Store,
    configs: Configs,
    name: str,
    url: str,
    jobs: Jobs,
    *,
    emit: Callable[[str], None] = lambda line: None,
    observe: Callable[[Study], None] = lambda study: None,
) -> tuple[SweepResult, Manifest]:
    """Prepare the dataset, make the trials that are missing, publish the artefact `sweep`, make the tables.

    `url`: of Optuna's storage. Whoever was killed goes on where it was, as does who is interrupted. Raises
    `ConfigError`, `LeaseError` where another process carries the sweep out, and `StoreError` where dataset or
    tables cannot be made.
    """
    maker = trial_maker(configs, name)
    folder = configs.files[f"sweeps/{name}"].parent.parent
    with sweep_lease(store, name, emit) as lease, JobProcesses(jobs.command) as processes:
        study = Study(maker, open_storage(url))
        study.restore(chosen_values(maker, trials_path(folder, name)))
        plan = plan_sweep(store, configs, name, url)
        emit(plan.text)
        processes.run(jobs.dataset(maker.dataset.name), f"the dataset `{maker.dataset.name}`")
        workers = StoreWorkers(store, study.experiment, processes, jobs.experiment)
        running = Running(
            study,
            folder,
            workers,
            planned=planned_seconds(plan.plan),
            emit=emit,
            observe=observe,
            still_ours=lease.check,
        )
        result = running.run()
        manifest = publish_sweep(store, study)
        processes.run(jobs.tables, "the tables over all experiments")
    return result, manifest
