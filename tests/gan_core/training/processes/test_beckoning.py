"""A training that another program started learns by a file that it is to stop."""

import pytest

from gan_core.training.processes import beckoning
from gan_core.training.processes.beckoning import BEAT_SECONDS, SILENT_SECONDS, Beckoned, Beckoning


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(beckoning, "time", clock)
    return clock


def test_it_goes_on_while_the_starter_shows_life(tmp_path, clock):
    assert not Beckoned.is_in(str(tmp_path))
    starter = Beckoning(str(tmp_path))
    assert Beckoned.is_in(str(tmp_path))
    started = Beckoned(str(tmp_path))
    for _ in range(5):
        clock.now += SILENT_SECONDS - 1
        starter.show_life()
        assert started.goes_on()


def test_it_stops_when_it_is_told_to(tmp_path, clock):
    starter, started = Beckoning(str(tmp_path)), Beckoned(str(tmp_path))
    assert started.goes_on()
    starter.stop()
    assert not started.goes_on()


@pytest.mark.parametrize("removed", [False, True])
def test_it_stops_when_the_starter_is_gone(tmp_path, clock, removed):
    """Killed, or ended with its folder."""
    Beckoning(str(tmp_path))
    started = Beckoned(str(tmp_path))
    assert started.goes_on()
    if removed:
        (tmp_path / beckoning.NAME).unlink()
    clock.now += SILENT_SECONDS - 1
    assert started.goes_on()
    clock.now += 2
    assert not started.goes_on()


def test_life_is_shown_once_a_second(tmp_path, clock):
    starter, path = Beckoning(str(tmp_path)), tmp_path / beckoning.NAME
    first = path.read_text()
    clock.now += BEAT_SECONDS / 2
    starter.show_life()
    assert path.read_text() == first
    clock.now += BEAT_SECONDS
    starter.show_life()
    assert path.read_text() != first
