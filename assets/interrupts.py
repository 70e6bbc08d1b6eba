"""How a long step ends: cancelled where someone asked for it, on its own where its run was killed."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import dagster as dg

INTERRUPTS = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)
GO_ON = "press Materialize (or Re-execute) to go on"
AGAIN_SECONDS = 5.0  # an interrupt that arrives during garbage collection is lost: Python only reports it
LAST_WORDS_SECONDS = 10.0


@contextlib.contextmanager
def stoppable(context: dg.AssetExecutionContext, saved: Callable[[], str]) -> Iterator[None]:
    """Around the work of a step that may take long; one that saves what it has does so when interrupted,
    and `saved` then says what that is.

    Dagster's terminate, SIGTERM and SIGINT interrupt the step, and the run is marked as cancelled, whichever
    of its processes the signal reached: someone wanted it to stop, so it is not retried.

    When the run worker was killed instead, nobody would stop the step: it interrupts itself within a
    second. The run then counts as crashed, and is retried.
    """
    done, orphaned = threading.Event(), threading.Event()
    watch = threading.Thread(target=_interrupt_orphan, args=(done, orphaned), name="run-worker", daemon=True)
    try:
        watch.start()
        yield
    except INTERRUPTS as interrupt:
        if not orphaned.is_set():
            _mark_as_canceling(context)
            interrupt.args = _last_words(context, saved)
        raise
    finally:
        done.set()


def _interrupt_orphan(done: threading.Event, orphaned: threading.Event) -> None:
    """Interrupt the main thread, as Ctrl-C would, once the process that this step belongs to is gone, and end
    this process soon after its work: nobody takes its last events any more, and it would wait for that.

    That is the run worker, also where a fork server started this process on its behalf. The system's
    parent-death signal would tell of the fork server, and on Linux only. A run in one process has no such
    parent.
    """
    worker = multiprocessing.parent_process()
    if worker is None:
        return
    worker.join()
    orphaned.set()
    while not done.is_set():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        done.wait(AGAIN_SECONDS)
    time.sleep(LAST_WORDS_SECONDS)
    os._exit(1)


def _last_words(context: dg.AssetExecutionContext, saved: Callable[[], str]) -> tuple[str, ...]:
    """What was saved and what to press, for the log and for the error; nothing where that cannot be said."""
    try:
        told = f"{saved()}; {GO_ON}"
        context.log.info(told)
    except BaseException:  # another interrupt, or a store out of reach: the first interrupt is what counts
        return ()
    return (told,)


def _mark_as_canceling(context: dg.AssetExecutionContext) -> None:
    """Dagster takes an interrupted run that nobody terminated through it for a failed one; this is the
    mark that its own terminate sets first."""
    run = context.instance.get_run_by_id(context.run_id)
    if run and run.status == dg.DagsterRunStatus.STARTED:
        context.instance.report_run_canceling(run, "Interrupted by a signal: the run is cancelled.")
