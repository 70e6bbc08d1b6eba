"""When a training is evaluated, and how long what is left of it takes."""

import pytest

from gan_core.planning.pace import Course, Pace, pace_so_far


def moments(total: int, every: int, epoch: int, batch_size: int) -> list[int]:
    """At how many images seen the engine evaluates, step by step."""
    found, seen = [0], 0
    while seen < total:
        before, seen = seen, seen + batch_size
        if before // every != seen // every or seen >= total:
            found.append(seen)
        if before < epoch <= seen < total:
            found.append(seen)
    return found


@pytest.mark.parametrize(
    ("total", "every", "epoch", "batch_size"),
    [(1000, 125, 120, 25), (1000, 300, 2000, 50), (640, 64, 64, 64), (90_000, 50_000, 1437, 10)],
)
def test_evaluations_come_when_the_engine_makes_them(total, every, epoch, batch_size):
    course, expected = Course(total, every, epoch), moments(total, every, epoch, batch_size)
    assert course.before(total) + 1 == course.after(0) == len(expected)
    for begun in range(batch_size, total, batch_size):
        assert course.after(begun) == pytest.approx(sum(seen > begun for seen in expected), abs=1)


def test_what_is_left_is_the_steps_and_the_evaluations():
    course = Course(total=8_000, every=1_000, epoch=500)
    pace = Pace(images_per_second=100.0, seconds_per_evaluation=2.0)
    assert pace.seconds_left(course) == 80 + 10 * 2
    assert pace.seconds_left(course, 5_000) == 30 + 3 * 2
    assert pace.seconds_left(course, 8_000) == 0


def test_the_pace_of_a_run_is_read_off_its_rows():
    """100 images a second, and 2 s each for three evaluations: untrained, first epoch, 1,000 images."""
    course = Course(total=8_000, every=1_000, epoch=500)
    seconds = {400: 4 + 2, 800: 8 + 4, 1200: 12 + 6}
    rows = [
        {"images_seen": seen, "images_per_second": 100.0, "seconds": float(taken)}
        for seen, taken in seconds.items()
    ]
    assert pace_so_far(rows, course) == Pace(100.0, 2.0)
    assert pace_so_far(rows[:1], course) == Pace(100.0, 2.0)
    assert pace_so_far([], course) is None
