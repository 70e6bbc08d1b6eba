"""Run long work where an interrupt cannot hit it, and stop it where it is consistent."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from gan_core.signals import TRAINING_THREAD, stopping

Result = TypeVar("Result")
Post = Callable[[Callable[[], None]], None]
# How long a stop waits for the work to reach its next consistent point before it asks whether to give it up.
PATIENCE_SECONDS = 5.0
FOR_EVER = threading.TIMEOUT_MAX / 2


def run_interruptible(
    work: Callable[[threading.Event, Post], Result],
    on_stop: Callable[[], None] = lambda: None,
    give_up: Callable[[], bool] = lambda: False,
) -> Result:
    """Run `work(stop, post)` in a thread of its own and return what it returns.

    Python raises interrupts (KeyboardInterrupt, and what Dagster raises in a signal handler) in the main
    thread, between any two instructions: in the middle of a training step they would leave half of it done.
    So the calling thread waits, and does what the work hands it through `post` (logging, observations). An
    exception here sets `stop`, waits until the work has ended of its own accord at its next consistent
    point, and is raised again; `on_stop` is called once `stop` is set. Interrupts that follow the first one
    (Ctrl-C reaches Dagster and its steps) change nothing. No signal handler is touched.

    `give_up` is called once the work has ended or `PATIENCE_SECONDS` have passed, in a thread of its own. It
    saves what is not saved yet, and says whether work that still runs can be left behind: its thread then
    ends at its next look at what `give_up` has set, or with the process (`gan_core.signals.end`).
    """
    calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
    stop = threading.Event()
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work(stop, calls.put))
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            calls.put(None)

    thread = threading.Thread(target=run, name=TRAINING_THREAD, daemon=True)
    try:
        thread.start()
        while (call := calls.get()) is not None:
            call()
    except BaseException as interrupt:
        stopping.set()
        stop.set()
        _undisturbed(on_stop)
        if thread.ident is not None:
            _wait_for(outcome, PATIENCE_SECONDS)
            given_up = _in_thread(give_up)
            if given_up.exception() is not None:
                interrupt.add_note(f"While stopping: {given_up.exception()!r}")
            elif not given_up.result():
                _wait_for(outcome)
            if outcome.done() and outcome.exception() is not None:
                interrupt.add_note(f"While stopping: {outcome.exception()!r}")
        raise
    return outcome.result()


def _in_thread(call: Callable[[], Result]) -> Future[Result]:
    """Where an interrupt cannot hit it either; done when this returns."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="stopping").start()
    _wait_for(future)
    return future


def _wait_for(future: Future, seconds: float = FOR_EVER) -> None:
    """Not by `Thread.join`: interrupted, that takes the thread for ended (Python 3.11)."""
    until = time.monotonic() + seconds
    while not future.done() and (left := until - time.monotonic()) > 0:
        _undisturbed(lambda left=left: wait([future], left))


def _undisturbed(call: Callable[[], None]) -> None:
    """Call it; an interrupt that arrives meanwhile is one more of those that are being obeyed already."""
    with contextlib.suppress(BaseException):
        call()
