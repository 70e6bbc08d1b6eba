"""Work on several cores, in order and with bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib


def map_in_processes(function: Callable[[Any], Any], tasks: Sequence, workers: int | None) -> Iterator[Any]:
    """Yield `function(task)` for every task in order, in `workers` processes (None: one a core).

    `function` is a module's function, tasks and results can be pickled. With one worker or one task it runs
    here. joblib's processes do not import the caller's `__main__`, so plain scripts need no guard, and they
    are kept for the next call. An error in a process is raised here as it was there.
    """
    workers = min(workers or joblib.cpu_count(), len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    pool = joblib.Parallel(n_jobs=workers, return_as="generator", batch_size=1, max_nbytes=None)
    yield from pool(joblib.delayed(function)(task) for task in tasks)
