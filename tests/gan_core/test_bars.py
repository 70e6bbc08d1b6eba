"""Progress on a terminal: bars in place of the lines that say the same."""

import io
import logging
import sys

import pytest
from rich.console import Console

from gan_core import bars, progress
from gan_core.bars import Bars, StderrHandler
from gan_core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    """What is drawn, at once."""
    monkeypatch.setattr(bars, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(bars, "REDRAW_SECONDS", 0.0)
    output = io.StringIO()
    drawn = Bars(Console(file=output, force_terminal=True, width=150, no_color=True))
    monkeypatch.setattr(progress, "drawing", drawn)
    yield output
    drawn.close()


def test_a_task_is_a_bar_until_it_is_done(screen):
    task = Progress("copying x", 2000, emit=lambda line: None)
    task.update(500, "g_loss 1.0")
    progress.drawing._bars.refresh()
    assert "copying x" in screen.getvalue() and "25%" in screen.getvalue()
    assert "500 of 2,000 images" in screen.getvalue() and "g_loss 1.0" in screen.getvalue()
    assert len(progress.drawing._bars.tasks) == 1
    task.update(2000)
    assert progress.drawing._bars.tasks == []


def test_a_task_that_is_given_up_loses_its_bar(screen):
    task = Progress("copying x", None, emit=lambda line: None)
    task.update(500)
    assert len(progress.drawing._bars.tasks) == 1
    del task
    assert progress.drawing._bars.tasks == []


def test_the_log_stands_above_the_bars_without_what_they_show(screen):
    logger = logging.Logger("test")
    logger.addHandler(StderrHandler())
    task = Progress("copying x", 2000, interval=0, emit=lambda line: logger.info("step: %s", line))
    task.update(500)
    logger.info("going on from a checkpoint")
    assert "going on from a checkpoint\n" in screen.getvalue() and "step:" not in screen.getvalue()


@pytest.mark.parametrize(("stream", "has_bars"), [(Terminal(), True), (io.StringIO(), False)])
def test_there_are_bars_on_a_terminal_only(monkeypatch, stream, has_bars):
    monkeypatch.setattr(sys, "stderr", stream)
    with bars.on_terminal():
        assert isinstance(progress.drawing, Bars) == has_bars
    assert progress.drawing is None
