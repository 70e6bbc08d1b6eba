"""How a process answers Ctrl-C, SIGTERM and SIGHUP: it stops once, says so, and ends as that signal's."""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

TRAINING_THREAD = "training"
# Terminals, shells and launchers pass one signal on in several ways: within this time it is one.
SAME_SECONDS = 1.0
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Set by who has caught an interrupt and stops: one that arrives during garbage collection is lost, as Python
# only reports it.
stopping = threading.Event()
# Set by the first signal, whatever became of the interrupt that it raised.
asked = threading.Event()


class Stop:
    """`listen` lets a signal raise `KeyboardInterrupt`; one that comes once that was caught ends the process
    at once.

    What the caller told the system to ignore (`nohup`, a shell's background) stays ignored.
    """

    def __init__(self):
        self.number = signal.SIGINT
        self.first: float | None = None

    def listen(self) -> None:
        stopping.clear()
        asked.clear()
        for number in NUMBERS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    @property
    def status(self) -> int:
        """The exit status of a process that the signal stopped, as shells count it: 130, 143 or 129."""
        return 128 + self.number

    def _receive(self, number: int, _) -> None:
        now = time.monotonic()
        if self.first is not None and now - self.first <= SAME_SECONDS:
            return
        if self.first is None or not stopping.is_set():
            self.number, self.first = number, now
            asked.set()
            raise KeyboardInterrupt
        os.write(2, b"stopped at once, without saving\n")
        os._exit(128 + number)


@contextlib.contextmanager
def let_through() -> Iterator[None]:
    """Around the work of a library that catches interrupts: a stop comes out of it as itself, where the
    library made an error of its own of it, and where it went on.

    An import that is interrupted leaves half a module: what then fails over it is an ordinary exception.
    """
    try:
        yield
    except Exception as error:
        stop = _stop_behind(error)
        if stop is None:
            raise
        raise stop from None
    if asked.is_set() and not stopping.is_set():
        raise KeyboardInterrupt


def _stop_behind(error: BaseException | None) -> BaseException | None:
    """What is no error, an interrupt of Python's or of Dagster's, in the chain that led to an error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if not isinstance(error, Exception | GeneratorExit):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def ignore_at_exit() -> None:
    """Called when the work is done: from Python's exit on, a signal would only make a failure of it.

    The last that is registered is the first that is called, before what imported libraries clean up.
    """
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in NUMBERS])


def end(status: int) -> None:
    """End this process now where a training step that was given up still runs in it; else do nothing.

    Python's own exit would wait for that step, or break down over it.
    """
    if any(thread.name == TRAINING_THREAD for thread in threading.enumerate()):
        logging.shutdown()
        with contextlib.suppress(OSError):  # the terminal may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
