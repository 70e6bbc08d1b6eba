"""Work on several cores or several machines, in order and with bounded memory."""

import contextlib
import functools
import itertools
import multiprocessing.util
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor

import gan_core
from gan_core.errors import ConfigError, GanError

CLUSTER = "GAN_DASK"  # the environment variable with the address of a Dask scheduler
CONNECT_SECONDS = 20
WORKER_SECONDS = 60  # how long the first worker may take to join
LOOK_SECONDS = 1.0
AHEAD = 2  # tasks on the cluster per core: one that is done there does not wait for this process


def map_in_processes(function: Callable[[Any], Any], tasks: Iterable, workers: int | None) -> Iterator[Any]:
    """Yield `function(task)` for every task in order, in `workers` processes (None: one a core).

    `function` is a module's function, tasks and results can be pickled. Tasks are drawn as they are needed.
    With one worker or one task it runs here. joblib's processes do not import the caller's `__main__`, so
    plain scripts need no guard; they are kept for the next call, and end when this process does. An error in
    a process is raised here as it was there.
    """
    tasks = iter(tasks)
    first = list(itertools.islice(tasks, 2))
    tasks = itertools.chain(first, tasks)
    workers = workers or joblib.cpu_count()
    if workers <= 1 or len(first) < 2:
        yield from map(function, tasks)
        return
    _prepare_for_workers()
    with joblib.parallel_config("loky", initializer=_end_with, initargs=(os.getpid(),)):
        pool = joblib.Parallel(workers, return_as="generator", batch_size=1, max_nbytes=None)
    with contextlib.closing(pool(joblib.delayed(function)(task) for task in tasks)) as results:
        yield from results


def map_on_cluster(function: Callable[[Any], Any], tasks: Iterable, workers: int | None) -> Iterator[Any]:
    """Like `map_in_processes`, but on the Dask cluster that `GAN_DASK` names, if it is set.

    What a worker that died had in hand is done again by another. Raises `ConfigError` if the cluster cannot
    be used, `GanError` if it breaks down.

    joblib has a backend for Dask too. It waits forever for a task that fails otherwise than by raising, as
    where it has ended three workers or the scheduler is gone.
    """
    address = os.environ.get(CLUSTER)
    if not address:
        yield from map_in_processes(function, tasks, workers)
        return
    with _connected(address) as client:
        tasks, waiting = iter(tasks), deque()
        while True:
            wanted = AHEAD * max(1, sum(client.ncores().values())) - len(waiting)
            some = itertools.islice(tasks, max(wanted, 0))
            waiting.extend(client.submit(function, task, pure=False) for task in some)
            if not waiting:
                return
            yield waiting.popleft().result()


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            f"{CLUSTER} is {address}, but the package distributed is not installed: "
            "run `pip install distributed`, or unset it to work on this machine alone"
        ) from error
    remedy = f"start it, or correct or unset {CLUSTER}"
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, AssertionError) as error:
        reason = str(error) or "the client's own event loop did not start"
        raise ConfigError(
            f"no Dask scheduler answers at {address} ({CLUSTER}): {reason}; {remedy}"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise ConfigError(
                f"the Dask scheduler at {address} ({CLUSTER}) has no workers: start some with "
                f"`dask worker {address} --nworkers auto --nthreads 1`"
            ) from error
        try:
            yield client
        except (distributed.KilledWorker, CancelledError, distributed.comm.CommClosedError) as error:
            raise GanError(
                f"the Dask cluster at {address} ({CLUSTER}) broke down: {error}; look at the logs of its "
                "scheduler and workers, then run this again: what is finished is kept"
            ) from error


@functools.cache
def _prepare_for_workers() -> None:
    """What joblib's processes need of this one where it is a step of Dagster's, once."""
    # They look for modules where this process does, and Dagster takes the folder of its code away again.
    packages = str(Path(gan_core.__file__).resolve().parents[1])
    if packages not in sys.path:
        sys.path.append(packages)
    # A process that multiprocessing started does not call joblib's exit handler, which tells them to end: it
    # would wait for idle ones, five minutes.
    multiprocessing.util.Finalize(None, _end_workers, exitpriority=0)


def _end_workers() -> None:
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _end_with(parent: int) -> None:
    """Let this process end when its parent has, which a process that was killed cannot tell it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
