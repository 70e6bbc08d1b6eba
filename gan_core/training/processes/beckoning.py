"""How a training learns to stop that another program started, on another machine perhaps: by a file in the
folder that both see. Signals do not get there: srun ends its job at once where it is sent one.
"""

import os
import time
from pathlib import Path

NAME, STOP = "starter", "stop"
BEAT_SECONDS = 1.0
SILENT_SECONDS = 60.0  # as long as a lease of another host counts


class Beckoning:
    """Of the process that started it: it calls `show_life` all the time, and `stop` to end it."""

    def __init__(self, folder: str):
        self.folder, self.beats, self.last = folder, 0, -BEAT_SECONDS
        self.show_life()

    def show_life(self) -> None:
        now = time.monotonic()
        if now - self.last >= BEAT_SECONDS:
            self.beats, self.last = self.beats + 1, now
            self._write(str(self.beats))

    def stop(self) -> None:
        self._write(STOP)

    def _write(self, text: str) -> None:
        path = Path(self.folder) / NAME
        temporary = path.with_suffix(".new")
        temporary.write_text(text)
        os.replace(temporary, path)


class Beckoned:
    """Of the process that was started: whether it is to go on.

    It is not where it was told to stop, and where who started it has shown no life for a minute, by this
    process's own clock.
    """

    def __init__(self, folder: str):
        self.path, self.text, self.changed = Path(folder) / NAME, "", time.monotonic()

    @staticmethod
    def is_in(folder: str) -> bool:
        """Whether a training that has this folder is told by it."""
        return (Path(folder) / NAME).exists()

    def goes_on(self) -> bool:
        try:
            text = self.path.read_text()  # opened each time: a network's file system looks anew then
        except OSError:
            text = self.text
        if text == STOP:
            return False
        if text != self.text:
            self.text, self.changed = text, time.monotonic()
        return time.monotonic() - self.changed < SILENT_SECONDS
