"""Who is given up by those that wait: the store has the counts of processes that are not there."""

import contextlib
import time

import pytest
import torch.distributed as distributed

from gan_core.errors import ConfigError, LostRankError
from gan_core.training.processes.liveness import LOOKS, Liveness, seconds_of_silence

SECONDS = 0.1


class Collective:
    """Ends after so many looks; `at_look` is called at each, as the other processes go on."""

    def __init__(self, looks: float, at_look=lambda look: None, error: str = ""):
        self.looks, self.at_look, self.error, self.looked = looks, at_look, error, 0

    def wait(self, timeout=None) -> None:
        if self.is_completed():
            if self.error:
                raise RuntimeError(self.error)
            return
        self.looked += 1
        self.at_look(self.looked)
        raise RuntimeError("Operation timed out!")

    def is_completed(self) -> bool:
        return self.looked >= self.looks


@pytest.fixture
def store():
    return distributed.HashStore()


def counts(store, rank: int):
    """Sets the count of another process."""
    other = distributed.PrefixStore("liveness", store)
    return lambda count: other.set(str(rank), str(count))


def test_one_whose_count_stands_still_is_named(store):
    liveness, of_second = Liveness(store, 0, 3, SECONDS), counts(store, 1)
    collective = Collective(1000, of_second)  # of the third one there is nothing
    with pytest.raises(
        LostRankError, match="process 2 of 3 has done nothing for 0.1 s.*GAN_RANK_TIMEOUT"
    ) as lost:
        liveness.wait_for(collective)
    assert lost.value.silent == 2
    assert collective.looked == LOOKS + 1


def test_one_that_counts_now_and_then_is_waited_for(store):
    of_second = counts(store, 1)
    collective = Collective(20 * LOOKS, lambda look: of_second(look // (LOOKS - 1)))
    Liveness(store, 0, 2, SECONDS).wait_for(collective)
    assert collective.looked == 20 * LOOKS


def test_what_the_collective_raises_is_raised(store):
    with pytest.raises(RuntimeError, match="Connection closed"):
        Liveness(store, 0, 2, SECONDS).wait_for(Collective(1, error="Connection closed"))


def count_of(store, seconds: float, *, step: bool, waits: bool = False, computes: bool = False) -> int:
    """How far a process counts up that does this for so long."""
    liveness = Liveness(store, 0, 2, SECONDS)
    liveness.waits = waits
    until = time.monotonic() + seconds
    with liveness.shown(), liveness.step() if step else contextlib.nullcontext():
        while time.monotonic() < until:
            time.sleep(0 if computes else seconds)
    return int(liveness._count_of(0) or 0)


def test_a_process_counts_up_unless_it_does_nothing_in_a_step(store):
    assert count_of(store, 0.3, step=True) <= 1
    for alive in ({"step": False}, {"step": True, "waits": True}, {"step": True, "computes": True}):
        assert count_of(distributed.HashStore(), 0.3, **alive) > 1


def test_the_seconds_are_checked(monkeypatch):
    monkeypatch.delenv("GAN_RANK_TIMEOUT", raising=False)
    assert seconds_of_silence() == 30
    monkeypatch.setenv("GAN_RANK_TIMEOUT", "90")
    assert seconds_of_silence() == 90
    for wrong in ("0.5", "long", "nan", "inf"):
        monkeypatch.setenv("GAN_RANK_TIMEOUT", wrong)
        with pytest.raises(ConfigError, match=f"GAN_RANK_TIMEOUT is `{wrong}`"):
            seconds_of_silence()
