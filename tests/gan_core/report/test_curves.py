"""The curves, judged by the lines on their axes and by their pixels."""

import io
import json

import numpy
import pandas
import pytest
from PIL import Image

from gan_core.report.curves import MAX_POINTS, PANELS, panel_chart, panels_of, training_figure
from gan_core.report.drawing import png
from tests.gan_core.report.conftest import evaluations, training_history

TITLES = ["Losses", "How often D is right", "Gradient norms", "In-training FID", "Diversity of samples"]
NONE = pandas.DataFrame()


def panel(title: str):
    return next(item for item in PANELS if item.title == title)


def axes_of(title: str, history=NONE, evaluated=NONE):
    figure = training_figure(history, evaluated)
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def lines(axes) -> dict[str, tuple[list, list]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def contrast(colour, background) -> float:
    """WCAG 2 contrast ratio of two sRGB colours."""

    def luminance(rgb):
        channels = numpy.asarray(rgb[:3], dtype=float) / 255
        linear = numpy.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted([luminance(colour), luminance(background)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("title", "labels"),
    [
        ("Losses", {"d_loss": "discriminator", "g_loss": "generator"}),
        (
            "How often D is right",
            {"d_real_accuracy": "real", "d_fake_accuracy": "generated"},
        ),
        ("Gradient norms", {"d_gradient_norm": "discriminator", "g_gradient_norm": "generator"}),
    ],
)
def test_each_line_is_its_column_over_images_seen(title, labels):
    history = training_history()
    drawn = lines(axes_of(title, history))
    assert drawn == {
        label: (list(history["images_seen"]), list(history[column])) for column, label in labels.items()
    }


def test_scales_fit_what_is_drawn():
    history = training_history()
    assert axes_of("Gradient norms", history).get_yscale() == "log"
    low, high = axes_of("How often D is right", history).get_ylim()
    assert low <= 0 and high >= 1


def test_the_best_evaluation_is_marked_where_it_is():
    axes = axes_of("In-training FID", evaluated=evaluations())
    drawn = lines(axes)
    assert drawn["in training"] == (list(evaluations()["images_seen"]), list(evaluations()["fid"]))
    assert drawn["best"] == ([38_400], [41.125])
    assert [text.get_text() for text in axes.texts] == ["best 41.12 at 38,400"]


def test_diversity_stands_beside_that_of_real_images():
    drawn = lines(axes_of("Diversity of samples", evaluated=evaluations(collapsed=True)))
    assert drawn["samples"][1] == [0.5, 0.42, 0.3, 0.2, 0.1234]
    assert drawn["real images"][1] == [1, 1]


def test_only_what_was_recorded_has_a_panel():
    old = training_history()[["images_seen", "d_loss", "g_loss"]]
    assert [item.title for item in panels_of(old, NONE)] == TITLES[:1]
    unscored = evaluations().drop(columns="fid")
    assert [item.title for item in panels_of(training_history(), unscored)] == [*TITLES[:3], TITLES[4]]
    assert panels_of(NONE, NONE) == []


def test_all_panels_stand_in_one_picture_that_a_database_can_keep():
    figure = training_figure(training_history(5000), evaluations())
    assert [axes.get_title(loc="left") for axes in figure.axes] == TITLES
    content = png(figure)
    assert len(content) < 100_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (960, 660)
        assert image.convert("RGBA").getpixel((0, 0))[3] == 0


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_training_that_has_just_begun_can_be_drawn(rows):
    history, evaluated = training_history(rows), evaluations()[:rows]
    assert png(training_figure(history, evaluated)).startswith(b"\x89PNG")


def test_both_curves_are_drawn_where_their_values_are():
    """D lies below G throughout, so every blue pixel of the plot lies below every orange one."""
    flat = pandas.DataFrame({"images_seen": [0, 1000], "d_loss": [1.0, 1.0], "g_loss": [3.0, 3.0]})
    content = png(training_figure(flat, NONE, height=280))
    image = numpy.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)[40:]
    blue = (image[..., 2] - image[..., 0] > 80) & (image[..., 3] > 200)
    orange = (image[..., 0] - image[..., 2] > 80) & (image[..., 3] > 200)
    assert blue.any() and orange.any()
    assert numpy.nonzero(blue)[0].min() > numpy.nonzero(orange)[0].max()


def test_the_curves_can_be_read_on_white_and_on_black():
    content = png(training_figure(training_history(50)[["images_seen", "d_loss", "g_loss"]], NONE))
    image = numpy.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
    solid = image[image[..., 3] == 255]
    colours, counts = numpy.unique(solid, axis=0, return_counts=True)
    for colour in colours[numpy.argsort(counts)[-2:]]:
        assert contrast(colour, (255, 255, 255)) >= 3
        assert contrast(colour, (20, 22, 26)) >= 3


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 0.0])
def test_values_that_have_no_place_on_an_axis_are_left_out(value):
    history, evaluated = training_history(), evaluations()
    columns = [name for name in history if "loss" in name or "norm" in name]
    history.loc[3:5, columns] = value
    evaluated.loc[1, "fid"] = numpy.nan
    assert png(training_figure(history, evaluated)).startswith(b"\x89PNG")
    drawn = json.dumps(panel_chart(panel("Gradient norms"), history).data())
    assert "NaN" not in drawn and "Infinity" not in drawn


def test_a_long_history_is_thinned_and_the_best_stays_exact():
    long = training_history(50_000)
    for line in axes_of("Losses", long).lines:
        assert len(line.get_xdata()) == MAX_POINTS
    fids = 100 + numpy.arange(1000) % 7.0
    fids[501] = 3.25
    evaluated = pandas.DataFrame({"images_seen": numpy.arange(1000) * 10, "fid": fids})
    assert lines(axes_of("In-training FID", evaluated=evaluated))["best"] == ([5010], [3.25])


def test_drawings_are_the_same_bytes_twice():
    tables = training_history(700), evaluations()
    assert png(training_figure(*tables)) == png(training_figure(*tables))


def test_a_chart_of_a_page_has_the_same_lines_as_the_picture():
    history, evaluated = training_history(), evaluations()
    losses = panel_chart(panel("Losses"), history)
    assert [line.label for line in losses.series] == ["discriminator", "generator"]
    assert list(losses.series[1].y) == list(history["g_loss"]) and list(losses.series[1].x) == list(
        history["images_seen"]
    )
    assert "generator from" in losses.alt
    assert panel_chart(panel("Gradient norms"), history).y_scale == "log"
    fid = panel_chart(panel("In-training FID"), evaluated)
    assert [(mark.x, mark.y, mark.label) for mark in fid.marks] == [(38_400, 41.125, "best 41.12 at 38,400")]
    diversity = panel_chart(panel("Diversity of samples"), evaluated)
    assert [(rule.value, rule.label) for rule in diversity.rules] == [(1, "real images")]
    long = panel_chart(panel("Losses"), training_history(50_000))
    assert {len(line.y) for line in long.series} == {MAX_POINTS}
