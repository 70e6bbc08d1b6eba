"""What the pictures of an answer say beside their points."""

import pytest
from matplotlib.figure import Figure

from gan_core.comparing import pictures
from gan_core.comparing.answer import find_answer
from tests.gan_core.comparing.test_answers import BAD, GOOD


@pytest.fixture
def drawn(laboratory, monkeypatch):
    """Draws a question of two configurations, one of which fails, as matplotlib's figure."""
    made: list[Figure] = []
    monkeypatch.setattr(pictures, "png", lambda figure: made.append(figure) or b"")

    def draw(**values) -> Figure:
        laboratory.add("a", fid=GOOD, settings={"batch_size": 32}, **values)
        laboratory.add("b", fid=BAD, failing=[3], settings={"batch_size": 64}, **values)
        question = laboratory.ask(figures=list(values))
        answer = find_answer(laboratory.store, laboratory.configs, question)
        pictures.figures_png(answer.tables, question.figures)
        made[0].canvas.draw()
        return made[0]

    return draw


def test_every_mark_is_explained(drawn):
    (legend,) = drawn(kid=[0.1, 0.2, 0.3, 0.4]).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["a run", "a run that failed", "mean", "95% interval of the mean"]


def test_equal_runs_are_all_seen_on_an_axis_of_shares(drawn):
    (axes,) = drawn(recall=[0.0] * 4).axes
    runs = [line for line in axes.lines if line.get_marker() in ("o", "x")]
    assert len({(line.get_xdata()[0], line.get_ydata()[0]) for line in runs}) == 8
    low, high = axes.get_xlim()
    assert -0.05 < low < 0 and high >= 1


def test_ticks_of_small_shares_differ(drawn):
    (axes,) = drawn(copying=[0.0, 0.0005, 0.001, 0.0015]).axes
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert len(set(shown)) == len(shown) > 2 and axes.get_xlim()[0] > -0.0001
