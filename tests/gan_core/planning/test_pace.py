"""When a training is evaluated, and how long what is left of it takes."""

import pytest

from gan_core.planning.pace import Course, Pace, pace_so_far


def moments(course: Course) -> list[int]:
    """At how many images seen the engine evaluates, step by step."""
    found, seen = [0], 0
    while seen < course.total:
        before, seen = seen, seen + course.batch_size
        at_end = seen >= course.total
        if at_end or before // course.every != seen // course.every or before < course.epoch <= seen:
            found.append(seen)
    return found


@pytest.mark.parametrize(
    "course",
    [
        Course(total=1000, every=125, epoch=60, batch_size=25),
        Course(total=1000, every=125, epoch=120, batch_size=50),
        Course(total=1000, every=300, epoch=2000, batch_size=48),
        Course(total=640, every=64, epoch=64, batch_size=64),
        Course(total=640, every=10, epoch=64, batch_size=64),
        Course(total=90_000, every=50_000, epoch=1437, batch_size=10),
    ],
)
def test_evaluations_come_when_the_engine_makes_them(course):
    expected = moments(course)
    assert course.moments == expected
    assert course.after(0) == len(expected) and course.before(expected[-1]) == len(expected) - 1
    for begun in range(course.batch_size, course.total, course.batch_size):
        assert course.after(begun) == sum(seen > begun for seen in expected)
        assert course.before(begun) == sum(seen < begun for seen in expected)


def test_what_is_left_is_the_steps_and_the_evaluations():
    course = Course(total=8_000, every=1_000, epoch=500, batch_size=10)
    pace = Pace(images_per_second=100.0, seconds_per_evaluation=2.0)
    assert pace.seconds_left(course) == 80 + 10 * 2
    assert pace.seconds_left(course, 5_000) == 30 + 3 * 2
    assert pace.seconds_left(course, 8_000) == 0


def test_the_pace_of_a_run_is_read_off_its_rows():
    """100 images a second, and 2 s each for evaluations: untrained, first epoch, 1,000 images, 2,000."""
    course = Course(total=8_000, every=1_000, epoch=500, batch_size=10)
    seconds = {400: 4 + 2, 800: 8 + 4, 1200: 12 + 6}
    rows = [
        {"images_seen": seen, "images_per_second": 100.0, "seconds": float(taken)}
        for seen, taken in seconds.items()
    ]
    assert pace_so_far(rows, course) == Pace(100.0, 2.0)
    assert pace_so_far(rows[:1], course) == Pace(100.0, 0.0)  # none was made since
    # What came before, on a slower machine, has no row here.
    moved = [{**row, "seconds": row["seconds"] + 30_000} for row in rows]
    assert pace_so_far(moved, course) == Pace(100.0, 2.0)
    stalled = {"images_seen": 600, "images_per_second": 0.0, "seconds": 9.0}
    assert pace_so_far([rows[0], stalled, *rows[1:]], course) == Pace(100.0, 2.0)
    assert pace_so_far([], course) is None
