"""Seeds as what tests compare."""

import pandas
import pytest

from gan_core.leaderboard.candidates import candidate_of, middle_demotion


def row(seed, **figures):
    return {"seed": seed, **figures}


def test_values_are_by_seed_and_one_training_under_two_names_counts_once():
    rows = [row(1, fid=3.0), row(0, fid=None), row(0, fid=2.0), row(1, fid=9.0), row(2, fid=float("nan"))]
    assert candidate_of("fid", rows).values == {1: 3.0, 0: 2.0}


def test_where_more_is_better_value_and_interval_are_turned():
    found = candidate_of("recall", [row(0, recall=0.5, recall_low=0.4, recall_high=0.7)])
    assert found.values == {0: -0.5} and found.interval == (-0.7, -0.4)


def test_an_interval_without_an_end_is_none_and_no_value_has_none():
    assert candidate_of("fid", [row(0, fid=2.0, fid_low=1.0)]).interval is None
    empty = candidate_of("fid", [])
    assert empty.values == {} and empty.interval is None and empty.evidence is None


def test_samples_from_elsewhere_have_no_seed():
    assert candidate_of("fid", [row(pandas.NA, fid=2.0)]).values == {None: 2.0}


@pytest.mark.parametrize(
    ("levels", "middle"), [([], 0), ([2], 2), ([0, 2], 2), ([0, 0, 2], 0), ([0, 1, 2], 1)]
)
def test_half_of_the_seeds_decide(levels, middle):
    assert middle_demotion(levels) == middle
