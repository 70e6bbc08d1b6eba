"""Work on several cores or several machines, in order and with bounded memory."""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib

from gan_core.errors import ConfigError

CLUSTER = "GAN_DASK"  # the environment variable with the address of a Dask scheduler
CONNECT_SECONDS = 20
LOOK_SECONDS = 1.0


def map_in_processes(function: Callable[[Any], Any], tasks: Iterable, workers: int | None) -> Iterator[Any]:
    """Yield `function(task)` for every task in order, in `workers` processes (None: one a core).

    `function` is a module's function, tasks and results can be pickled. Tasks are drawn as they are needed.
    With one worker or one task it runs here. joblib's processes do not import the caller's `__main__`, so
    plain scripts need no guard; they are kept for the next call, and end when this process does. An error in
    a process is raised here as it was there.
    """
    tasks = iter(tasks)
    first = list(itertools.islice(tasks, 2))
    workers = workers or joblib.cpu_count()
    if workers <= 1 or len(first) < 2:
        yield from map(function, itertools.chain(first, tasks))
        return
    end_too = {"initializer": _end_with, "initargs": (os.getpid(),)}
    yield from _run(function, itertools.chain(first, tasks), "loky", workers, **end_too)


def map_on_cluster(function: Callable[[Any], Any], tasks: Iterable, workers: int | None) -> Iterator[Any]:
    """Like `map_in_processes`, but on the Dask cluster that `GAN_DASK` names, if it is set.

    What a worker that died had in hand is done again by another. Raises `ConfigError` if the cluster cannot
    be used.
    """
    address = os.environ.get(CLUSTER)
    if not address:
        yield from map_in_processes(function, tasks, workers)
        return
    with _connected(address) as client:
        yield from _run(function, tasks, "dask", -1, client=client)


def _run(
    function: Callable[[Any], Any], tasks: Iterable, backend: str, workers: int, **options
) -> Iterator[Any]:
    with joblib.parallel_config(backend, **options):
        pool = joblib.Parallel(workers, return_as="generator", batch_size=1, max_nbytes=None)
    results = pool(joblib.delayed(function)(task) for task in tasks)
    with contextlib.closing(results):
        yield from results


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
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"no Dask scheduler answers at {address} ({CLUSTER}): {error}; {remedy}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise ConfigError(
                f"the Dask scheduler at {address} ({CLUSTER}) has no workers: start some with "
                f"`dask worker {address} --nworkers auto --nthreads 1`"
            ) from error
        yield client


def _end_with(parent: int) -> None:
    """Let this process end when its parent has, which a process that was killed cannot tell it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
