import pytest

from gan_core.progress import Progress, about, format_bytes


def line(total, done, **options):
    progress = Progress("copying x", total, "bytes", interval=0, emit=lambda text: None, **options)
    progress.update(done)
    return progress.line()


def test_a_known_total_has_a_share_and_a_time_left():
    assert line(2000, 500).startswith("copying x: 500 of 2,000 bytes (25%), ")
    assert line(2000, 2000).endswith("0:00 left")


def test_an_unknown_total_has_neither():
    text = line(None, 5_242_880)
    assert text.startswith("copying x: 5,242,880 bytes, ")
    assert not any(word in text for word in ("of", "%", "left"))


def test_nothing_to_do_is_done():
    assert "0 of 0 bytes (100%)" in line(0, 0)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0 s"),
        (50, "50 s"),
        (89, "89 s"),
        (100, "2 min"),
        (2400, "40 min"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86_400 * 3 + 3_600 * 4, "3 d 4 h"),
    ],
)
def test_a_time_that_nobody_knows_to_the_second(seconds, expected):
    assert about(seconds) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 bytes"), (64, "64 bytes"), (999, "999 bytes"), (1_500, "1.5 kB"), (3.7e10, "37.0 GB")],
)
def test_bytes_in_words(number, expected):
    assert format_bytes(number) == expected
