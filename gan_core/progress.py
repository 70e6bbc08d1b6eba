"""One way to report progress on long work: a throttled log line with rate and time left."""

import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger("gan_core")

# Where progress is shown beside the lines, as on a terminal (`gan_core.bars`): what draws it.
drawing: "Drawing | None" = None


class Drawing(Protocol):
    """Shows progress in its own way."""

    def draw(self, progress: "Progress", note: str) -> None:
        """Show how far it is; called for every step, from any thread."""

    def said(self, line: str) -> None:
        """A line that says the same is emitted now."""


def format_seconds(seconds: float) -> str:
    """Seconds as `h:mm:ss`, or `m:ss` under an hour."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def format_bytes(number: float) -> str:
    """`1.4 MB`, in powers of a thousand."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, max(0, int(math.log10(number) // 3))) if number >= 1 else 0
    return f"{number:,.0f} {units[0]}" if power == 0 else f"{number / 1000**power:.1f} {units[power]}"


def about(seconds: float) -> str:
    """A time that nobody knows to the second: `50 s`, `40 min`, `2 h 10 min`, `3 d 4 h`."""
    for size, unit, smaller, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min")):
        if seconds >= size:
            whole, rest = divmod(round(seconds / smaller), size // smaller)
            return f"{whole} {unit} {rest} {name}" if rest else f"{whole} {unit}"
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{round(seconds)} s"


class Progress:
    """Logs how far a task is, at most once every `interval` seconds.

    `emit` receives each line; by default it goes to the `gan_core` logger, a Dagster asset passes
    `context.log.info`. `total` (None: unknown) and `done` are counts of `unit`; `start` is what was done
    before this process began, so that the rate of a resumed task is right.
    """

    def __init__(
        self,
        task: str,
        total: int | None,
        unit: str = "images",
        *,
        start: int = 0,
        interval: float = 5.0,
        emit: Callable[[str], None] = logger.info,
    ):
        self.task, self.total, self.unit = task, total, unit
        self.start, self.done = start, start
        self.interval, self.emit = interval, emit
        self.began = time.monotonic()
        self.last_line = self.began

    @property
    def rate(self) -> float:
        """Units a second since this process began the task."""
        return (self.done - self.start) / max(time.monotonic() - self.began, 1e-9)

    def update(self, done: int, note: str = "") -> None:
        """Record that `done` units of the whole are finished; log a line if one is due."""
        self.done = done
        if drawing:
            drawing.draw(self, note)
        now = time.monotonic()
        if now - self.last_line >= self.interval:
            self.last_line = now
            line = self.line(note)
            if drawing:
                drawing.said(line)
            self.emit(line)

    def advance(self, count: int, note: str = "") -> None:
        """Record `count` more finished units."""
        self.update(self.done + count, note)

    def skip(self, count: int) -> None:
        """Record `count` more units that were there already and do not count for the rate."""
        self.start += count
        self.done += count

    def line(self, note: str = "") -> str:
        """The line as it is logged."""
        if self.total is None:
            text = f"{self.task}: {self.done:,} {self.unit}, {self.rate:,.0f}/s"
        else:
            left = format_seconds((self.total - self.done) / self.rate) if self.rate > 0 else "unknown"
            share = 100 * self.done / self.total if self.total else 100
            text = f"{self.task}: {self.done:,} of {self.total:,} {self.unit} ({share:.0f}%)"
            text += f", {self.rate:,.0f}/s, {left} left"
        return f"{text}, {note}" if note else text
