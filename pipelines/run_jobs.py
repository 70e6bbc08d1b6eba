"""`python -m pipelines.run_jobs`: runs in a process of their own, as a sweep asks for them.

See `gan_core.sweeps.processes`. A job's words are its name, its partition, and which assets of it are made.
"""

import socket
import sys

from gan_core.sweeps.processes import serve
from pipelines.lost_runs import HOST_TAG, end_lost_backfills

SWEEP_TAG = "gan-pipelines/sweep"


def run(words: list[str]) -> str | None:
    """Run a job; None, or why it failed. The configurations are read anew: the sweep adds trials to them."""
    from gan_core.config import load_configs
    from pipelines.backfill import Runner
    from pipelines.definitions import build_definitions
    from pipelines.instance import open_instance

    job, partition, *assets = [*words, None] if len(words) == 1 else words
    configs = load_configs()
    sweep = {SWEEP_TAG: configs.sweep_of[partition]} if partition in configs.sweep_of else {}
    with open_instance() as instance:
        end_lost_backfills(instance)
        runner = Runner(build_definitions(configs), instance, {HOST_TAG: socket.gethostname(), **sweep})
        return runner.run(job, partition, assets=assets)


if __name__ == "__main__":
    sys.exit(serve(run))
