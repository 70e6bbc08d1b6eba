"""Commands on a real file system whose power is cut: a few of the cases of `tests.breaking.power_cuts`."""

import pytest

from tests.breaking.power_cuts import Trials, serving_pictures, why_not

CASES = ("download-00-s-after", "train-03-s-after", "train-08-s-after", "train-during-0")


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not()), reason=why_not() or "the power can be cut here")
def test_nothing_that_was_made_is_lost(tmp_path):
    with serving_pictures(tmp_path / "served") as url:
        cases = Trials(tmp_path, url).cases()
        for name in CASES:
            cases[name]()
