"""A sweep whose dataset, trials and tables are runs of Dagster: so they are seen in the UI, and train only
where the pool has a slot."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from assets.jobs import DATASET_JOB, EXPERIMENT_JOB, TABLES_JOB
from gan_core.config import Configs
from gan_core.store import Manifest, Store
from gan_core.sweeps import MEASURED

if TYPE_CHECKING:
    from gan_core.sweeps.running import SweepResult
    from gan_core.sweeps.study import Study


def make_sweep(
    store: Store,
    configs: Configs,
    name: str,
    home: Path,
    *,
    emit: Callable[[str], None],
    observe: "Callable[[Study], None]" = lambda study: None,
) -> "tuple[SweepResult, Manifest]":
    """See `gan_core.sweeps.sweep.carry_out`; `home` is the folder of Dagster's state."""
    from gan_core.sweeps.study import storage_url
    from gan_core.sweeps.sweep import Jobs, carry_out

    jobs = Jobs(
        command=[sys.executable, "-m", "pipelines.run_jobs"],
        dataset=lambda dataset: [DATASET_JOB, dataset],
        experiment=lambda experiment: [EXPERIMENT_JOB, experiment, "trained_gan", *MEASURED],
        tables=[TABLES_JOB],
    )
    return carry_out(store, configs, name, storage_url(home), jobs, emit=emit, observe=observe)
