"""The simulated queue against what can be counted by hand, and against what Dagster really does."""

from dataclasses import replace

import pytest

from benchmarks.run_queue import Farm, Outcome, simulate

PLAIN = Farm(runs=12, gpus=4, steps=(9.5,), in_progress=4)


def gpu_seconds(outcome: Outcome) -> float:
    changes = [*outcome.busy, (outcome.seconds, 0)]
    return sum(count * (end - begin) for (begin, count), (end, _) in zip(changes, changes[1:], strict=False))


def test_runs_that_hold_a_slot_between_two_looks_come_in_waves():
    outcome = simulate(PLAIN)
    assert outcome.seconds == pytest.approx(10 + 10 + 9.5)  # the daemon looks at 10 and at 20
    assert gpu_seconds(outcome) == pytest.approx(12 * 9.5)
    assert outcome.utilisation == pytest.approx(12 * 9.5 / 4 / 29.5)


def test_no_more_are_in_progress_than_may_be():
    outcome = simulate(replace(PLAIN, in_progress=2))
    assert max(count for _, count in outcome.busy) == 2
    assert outcome.seconds == pytest.approx(5 * 10 + 9.5)


def test_of_short_runs_the_launches_are_what_takes_the_time():
    outcome = simulate(
        Farm(runs=100, gpus=100, steps=(1.0,), in_progress=100, launch=2.0, start=3.0, end=0.5)
    )
    assert outcome.seconds == pytest.approx(100 * 2.0 + 3.0 + 1.0 + 0.5)


def test_a_backfill_that_creates_runs_slowly_is_waited_for():
    outcome = simulate(Farm(runs=10, gpus=10, steps=(1.0,), in_progress=10, created_a_second=0.5, look=1.0))
    assert outcome.seconds == pytest.approx(9 / 0.5 + 1.0)
    assert max(outcome.waited) <= 1.0


def test_between_its_steps_a_run_holds_nothing_and_asks_again_for_a_slot():
    alone = simulate(Farm(runs=1, gpus=1, steps=(4.0, 2.0), in_progress=1, between=3.0))
    assert alone.seconds == pytest.approx(4 + 3 + 2) and gpu_seconds(alone) == pytest.approx(6)
    # The second run has the slot from 5 to 9; the first asks for it at 7, 8 and 9.1.
    two = simulate(Farm(runs=2, gpus=1, steps=(4.0, 2.0), in_progress=2, between=3.0))
    assert (7.0, 1) not in two.busy and (9.0, 0) in two.busy
    assert [time for time, count in two.busy if count == 1][:3] == pytest.approx([0, 5, 9.1])


def test_a_killed_training_goes_on_from_its_checkpoint():
    farm = Farm(runs=200, gpus=8, steps=(100.0, 10.0), in_progress=16, fails=0.3, retry=45.0)
    outcome = simulate(farm)
    # A slot is held until its step's killer was noticed, and nothing that was trained is trained again.
    kills = len(outcome.waited) - farm.runs
    assert 0.2 < kills / farm.runs < 0.7
    assert gpu_seconds(outcome) == pytest.approx(200 * 110 + kills * 45)
    lost = simulate(replace(farm, lost=50.0))
    kills = len(lost.waited) - farm.runs
    again = gpu_seconds(lost) - 200 * 110 - kills * 45
    assert 0 < again <= kills * 50


def test_the_same_seed_is_the_same_outcome():
    farm = Farm(runs=50, gpus=4, steps=(30.0,), in_progress=8, fails=0.5)
    assert simulate(farm) == simulate(farm)
    assert simulate(farm).seconds != simulate(replace(farm, seed=1)).seconds


def test_many_identical_runs_keep_the_gpus_busy_but_for_the_last_wave():
    farm = Farm(runs=10_000, gpus=64, steps=(1000.0,), in_progress=64, look=1.0)
    outcome = simulate(farm)
    waves = -(-farm.runs // farm.gpus)
    assert outcome.seconds == pytest.approx(waves * 1000.0, rel=2e-3)  # a look later, in each wave
    held = outcome.held(10)
    assert held[:9] == pytest.approx([1.0] * 9, rel=2e-3) and held[9] < 1


@pytest.mark.engines
def test_dagster_takes_as_long_as_the_simulation_says():
    """Twenty runs over four slots; what a launch, a start and an end take is measured of the same runs."""
    from benchmarks.run_queue_measured import run_for_real

    found = run_for_real(runs=20, slots=4, in_progress=4, seconds=10.0, postgres=None)
    farm = Farm(20, 4, (found["step"],), 4, launch=found["launch"], start=found["start"], end=found["end"])
    assert simulate(farm).seconds == pytest.approx(found["all"], rel=0.25)
