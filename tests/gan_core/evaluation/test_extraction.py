"""Reading ahead of the network."""

import threading

import pytest

from gan_core.evaluation import extraction
from gan_core.evaluation.extraction import GROUP, in_order


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    monkeypatch.setattr(extraction, "reading_threads", lambda: 3)


@pytest.mark.parametrize("count", [0, 1, GROUP, 7 * GROUP + 3])
def test_all_come_in_their_order(count):
    assert list(in_order(lambda number: number * 2, range(count))) == [number * 2 for number in range(count)]


def test_no_more_is_read_than_a_few_groups_ahead():
    taken = []

    def items():
        for number in range(1000 * GROUP):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, items())
    for _ in range(2 * GROUP):
        next(results)
    assert len(taken) <= (2 + 3 + 1) * GROUP
    results.close()
    assert len(taken) <= (2 + 3 + 1) * GROUP


def test_work_is_done_in_several_threads_at_once():
    together = threading.Barrier(3, timeout=30)

    def work(number):
        if number % GROUP == 0:
            together.wait()  # passes only where three groups are worked on at once
        return number

    assert len(list(in_order(work, range(3 * GROUP)))) == 3 * GROUP


def test_an_error_comes_at_its_turn_and_ends_the_threads():
    def work(number):
        if number == GROUP + 1:
            raise ValueError("the second group")
        return number

    before = threading.active_count()
    found = []
    with pytest.raises(ValueError, match="the second group"):
        found.extend(in_order(work, range(10 * GROUP)))
    assert threading.active_count() <= before
    results = in_order(work, range(10 * GROUP))
    assert [next(results) for _ in range(GROUP)] == list(range(GROUP))
    results.close()
    assert threading.active_count() <= before
