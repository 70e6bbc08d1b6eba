"""Run long work where an interrupt cannot hit it, and stop it where it is consistent."""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
Post = Callable[[Callable[[], None]], None]


def run_interruptible(
    work: Callable[[threading.Event, Post], Result], on_stop: Callable[[], None] = lambda: None
) -> Result:
    """Run `work(stop, post)` in a thread of its own and return what it returns.

    Python raises interrupts (KeyboardInterrupt, and what Dagster raises in a signal handler) in the main
    thread, between any two instructions: in the middle of a training step they would leave half of it done.
    So the calling thread waits, and does what the work hands it through `post` (logging, observations). An
    exception here sets `stop`, waits until the work has ended of its own accord at its next consistent
    point, and is raised again; `on_stop` is called once `stop` is set. Interrupts that follow the first one
    (Ctrl-C reaches Dagster and its steps) change nothing. No signal handler is touched.
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

    thread = threading.Thread(target=run, name="training")
    try:
        thread.start()
        while (call := calls.get()) is not None:
            call()
    except BaseException as interrupt:
        stop.set()
        _undisturbed(on_stop)
        if thread.ident is not None:
            while thread.is_alive():
                _undisturbed(thread.join)
            if outcome.exception() is not None:
                interrupt.add_note(f"While stopping: {outcome.exception()!r}")
        raise
    return outcome.result()


def _undisturbed(call: Callable[[], None]) -> None:
    """Call it; an interrupt that arrives meanwhile is one more of those that are being obeyed already."""
    with contextlib.suppress(BaseException):
        call()
