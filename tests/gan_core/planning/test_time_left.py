from gan_core.planning.time_left import TimeLeft


def test_what_was_planned_is_what_is_left():
    left = TimeLeft(["a", "b", "c"], {"a": 100.0, "b": 200.0, "c": 0.0})
    assert left.seconds == 300
    left.done("a", 100.0)
    assert left.seconds == 200


def test_a_slower_run_than_planned_leaves_more():
    left = TimeLeft(["a", "b", "c"], {"a": 100.0, "b": 200.0, "c": 0.0})
    left.done("c", 2.0)  # reused: says nothing of the others
    assert left.seconds == 300
    left.done("a", 150.0)
    assert left.seconds == 300
    left.done("b", 300.0)
    assert left.seconds == 0


def test_of_what_nothing_is_known_the_others_of_this_run_say_something():
    left = TimeLeft(["a", "b", "c"])
    assert left.seconds is None
    left.done("a", 10.0)
    assert left.seconds == 20
    left.done("b", 30.0)
    assert left.seconds == 20


def test_what_was_reused_says_nothing_of_what_is_unknown():
    left = TimeLeft(["a", "b", "c"], {"a": 0.0, "b": None, "c": 50.0})
    left.done("a", 1.0)
    assert left.seconds is None
    left.done("c", 100.0)
    assert left.seconds == 100
