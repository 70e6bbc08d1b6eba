"""When two measurements agree, and what is said where they do not."""

import math

import pytest

from gan_core.bundles.agreement import (
    OTHER_IMAGES,
    SAME_IMAGES,
    compared,
    other_machine,
    other_protocol,
    other_versions,
    tolerance,
)
from gan_core.store import Manifest
from gan_core.versions import CODE_VERSIONS


def agreement(figure, recorded, measured, **values):
    return compared("classifier", figure, recorded, measured, images=1000, **values).agreement


def test_the_same_number_agrees_exactly_and_so_does_none():
    assert agreement("fid", 12.5, 12.5) == "exact"
    assert agreement("fid", None, None) == "exact"
    assert agreement("fid", math.nan, math.nan) == "exact"
    assert agreement("fid_floor", 1.5, 1.5, again=False) == "as recorded"


@pytest.mark.parametrize("rounding", [SAME_IMAGES, OTHER_IMAGES])
@pytest.mark.parametrize(
    ("figure", "recorded", "allowed"),
    [
        ("fid", 100.0, lambda rounding: 100 * rounding.relative),
        ("kid", 0.0, lambda rounding: rounding.absolute),
        ("coverage", 0.2, lambda rounding: rounding.images / 1000),
        ("distinct", 900, lambda rounding: rounding.images),
    ],
)
def test_rounding_has_a_limit(figure, recorded, allowed, rounding):
    step = allowed(rounding)
    for sign in (1, -1):
        within, beyond = recorded + sign * 0.999 * step, recorded + sign * 1.001 * step
        assert agreement(figure, recorded, within, rounding=rounding) == "rounding"
        assert agreement(figure, recorded, beyond, rounding=rounding) == "differs"


def test_what_was_measured_of_other_processors_is_rounding():
    """FID, KID and IS of 2,000 digits by AVX512 and by SSE4.1 alone (docs/proof.md)."""
    measured = {
        "fid": (31.04838587816363, 31.048278917869084),
        "kid": (1.7859062121731295, 1.7858996780996974),
        "class_fid_worst": (113.40618911614268, 113.4051799977141),
    }
    for figure, (one, other) in measured.items():
        assert agreement(figure, one, other, rounding=OTHER_IMAGES) == "rounding"
        assert agreement(figure, one, one * 1.001, rounding=OTHER_IMAGES) == "differs"


@pytest.mark.parametrize("measured", [None, math.nan, math.inf])
def test_what_is_no_number_never_agrees_with_one(measured):
    row = compared("classifier", "fid", 12.5, measured, images=10, why=("a reason",))
    assert row.agreement == "differs" and not row.agrees and row.why == ("a reason",)


def test_an_unknown_figure_is_compared_by_its_own_size():
    assert tolerance("of-the-future", 1000.0, 10, SAME_IMAGES) == 1000 * SAME_IMAGES.relative


def make_evaluation(code=CODE_VERSIONS["evaluation"], **provenance) -> Manifest:
    values = {"asset": "evaluation", "partition": "e", "fingerprint": "0" * 64, "code_version": code}
    return Manifest(**values, config={}, inputs={}, provenance=provenance)


def test_other_versions_are_named_with_both_numbers():
    recorded = make_evaluation("1", packages={"torch": "2.1.0+cpu", "numpy": "2.0", "dagster": "1.0"})
    now = {"packages": {"torch": "2.2.0", "dagster": "2.0"}}
    assert other_versions(recorded, now) == [
        "torch 2.1.0 was recorded, here it is 2.2.0",
        "numpy 2.0 was recorded, here it is not installed",
        f"the evaluation's code was of version 1, here it is {CODE_VERSIONS['evaluation']}",
    ]
    same = make_evaluation(packages={"torch": "2.1.0+cu130"})
    assert other_versions(same, {"packages": {"torch": "2.1.0+cpu"}}) == []


def test_another_machine_is_named():
    recorded = make_evaluation(machine={"processor": "A", "gpus": ["H100"], "cores": 4})
    assert other_machine(recorded, {"machine": {"processor": "B", "gpus": [], "cores": 4}}) == [
        "processor: A was recorded, here it is B",
        "GPUs: H100 was recorded, here it is none",
    ]


def test_protocols_are_compared_field_by_field():
    before = "classifier-1a2b n=10 vs d/train(5)@9f8e seed=0 dtype=float32 torch=2.1 kid=100x1000"
    here = "classifier-1a2b n=10 vs d/train(6)@9f8f seed=0 dtype=float32 torch=2.1 kid=100x1000"
    assert other_protocol(before, here) == [
        "protocol: number of real images 5 was recorded, here it is 6",
        "protocol: content of the real images 9f8e was recorded, here it is 9f8f",
    ]
    assert other_protocol(before, before) == [] == other_protocol(None, here)
