"""Progress as bars, where standard error is a terminal. In a log, lines say the same."""

import contextlib
import logging
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from gan_core import progress as progress_module
from gan_core.progress import Progress

if TYPE_CHECKING:
    import rich.progress
    from rich.console import Console

# What ends sooner needs no bar.
QUICK_SECONDS = 1.0
REDRAW_SECONDS = 0.1
LINES = 100  # whose bar is drawn, and that may not have reached the log yet


@contextlib.contextmanager
def on_terminal() -> Iterator[None]:
    """While it lasts, every `Progress` is a bar on standard error, and `StderrHandler` leaves out the lines
    that say the same; without a terminal nothing changes."""
    if not sys.stderr.isatty():
        yield
        return
    bars = Bars()
    before, progress_module.drawing = progress_module.drawing, bars
    try:
        yield
    finally:
        progress_module.drawing = before
        bars.close()


class StderrHandler(logging.StreamHandler):
    """Writes to standard error as it is now: rich puts lines above its bars. Without the lines that bars
    show."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.addFilter(_is_no_bar)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        """It stays standard error."""


class Bars:
    """A bar for each task that is under way; rich is loaded for the first."""

    def __init__(self, console: "Console | None" = None) -> None:
        self.console = console
        self._bars: rich.progress.Progress | None = None
        self._tasks: weakref.WeakKeyDictionary[Progress, Any] = weakref.WeakKeyDictionary()
        self._drawn: weakref.WeakKeyDictionary[Progress, float] = weakref.WeakKeyDictionary()
        self._lines: deque[str] = deque(maxlen=LINES)
        self._lock = threading.RLock()

    def draw(self, progress: Progress, note: str) -> None:
        now = time.monotonic()
        finished = progress.total is not None and progress.done >= progress.total
        if now - progress.began < QUICK_SECONDS:
            return
        with self._lock:
            if finished:
                self._remove(self._tasks.pop(progress, None))
            elif now - self._drawn.get(progress, 0.0) >= REDRAW_SECONDS:
                self._drawn[progress] = now
                self._update(progress, note)

    def said(self, line: str) -> None:
        self._lines.append(line)

    def shows(self, line: str) -> bool:
        """Whether a line of a log is one of those that a bar shows."""
        return any(said in line for said in list(self._lines))

    def close(self) -> None:
        """Take the bars away."""
        with self._lock:
            if self._bars:
                self._bars.stop()

    # -- inside

    def _update(self, progress: Progress, note: str) -> None:
        if self._bars is None:
            self._bars = _new_bars(self.console)
            self._bars.start()
        if progress not in self._tasks:
            task = self._bars.add_task(progress.task, total=progress.total, unit="", speed="", note="")
            self._tasks[progress] = task
            weakref.finalize(progress, self._remove, task)
        count = f"{progress.done:,}" if progress.total is None else f"{progress.done:,} of {progress.total:,}"
        self._bars.update(
            self._tasks[progress],
            completed=progress.done,
            unit=f"{count} {progress.unit}",
            speed=f"{progress.rate:,.0f}/s",
            note=note,
        )

    def _remove(self, task: Any) -> None:
        with self._lock, contextlib.suppress(KeyError):  # it may be gone already
            if task is not None:
                self._bars.remove_task(task)


def _new_bars(console: "Console | None") -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    class SteadyConsole(Console):
        """The cursor stays: a second Ctrl-C ends the process at once, and would leave none."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[unit]}", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console or SteadyConsole(stderr=True, highlight=False),
        transient=True,
        refresh_per_second=4,
    )


def _is_no_bar(record: logging.LogRecord) -> bool:
    drawing = progress_module.drawing
    return not (isinstance(drawing, Bars) and drawing.shows(record.getMessage()))
