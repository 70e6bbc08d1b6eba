"""The figures that configurations are compared by."""

import math

import pytest

from gan_core.comparing.figures import COMPARED, FAILURES, first_at_level, has_failed
from gan_core.evaluation.judging.impostors import IMPOSTORS
from gan_core.evaluation.judging.verdicts import in_words
from gan_core.evaluation.metrics import METRICS

IMAGES = [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    ("fids", "level", "expected"),
    [
        ([90, 70, 50, 40], 60, 25.0),  # half way from 70 to 50
        ([90, 70, 50, 40], 70, 20.0),  # at a measurement
        ([50, 70, 50, 40], 60, 10.0),  # before the first one nothing is known
        ([90, 70, 65, 61], 60, None),
        ([90, 50, 90, 90], 60, 17.5),  # the first time counts
        ([90, math.nan, 50, 40], 60, 30.0),  # no line through what was not measured
    ],
)
def test_a_level_is_reached_where_the_line_between_two_measurements_meets_it(fids, level, expected):
    assert first_at_level(IMAGES, fids, level) == expected


def test_every_metric_compares_and_what_has_no_better_side_does_not():
    assert all(metric.main in COMPARED for metric in METRICS.values() if metric.figures[metric.main].better)
    assert all(item.figure.better for item in COMPARED.values())
    without = {name for name, item in COMPARED.items() if not item.has_better_side}
    assert without == {"vendi", "vendi_share", "ms_ssim", "lpips"}
    assert not any("↑" in COMPARED[name].figure.heading for name in without)
    assert not {"fid_low", "fid_untrained", "kid_floor"} & set(COMPARED)


def test_what_fails_is_said_by_the_verdict():
    assert all(in_words(name) in FAILURES for name in IMPOSTORS)
    could_be_better = ("stagnation", "got worse", "far from real", "too short to judge", "covers too little")
    for verdict in ("healthy", "unknown", *could_be_better):
        assert not has_failed(verdict)
    for failed in (
        "mode collapse",
        "few classes",
        "stagnation, not finite (stopped)",
        "healthy, repeats images",
    ):
        assert has_failed(failed)
