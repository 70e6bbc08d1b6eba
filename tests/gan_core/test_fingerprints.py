"""Results survive the project's growth: fingerprints change on purpose only, with a line that says why."""

import json

import pytest

from tests.shipped_fingerprints import problems, read, recorded, shipped

HINT = 'where this is on purpose: python -m tests.shipped_fingerprints "why"'


def test_shipped_fingerprints_are_those_of_the_record():
    assert problems(shipped(), *read()) == [], HINT


def test_every_shipped_configuration_is_in_the_record():
    now = shipped()
    assert len(now["trained_gan"]) >= 87
    assert len(now["image_shards"]) >= 6
    assert now["absent keys of an experiment"]["batch_size"] == 64
    assert now["absent keys of an experiment"]["optimizers.generator.betas"] == [0.5, 0.999]
    assert now["absent keys of a dataset"]["evaluation.seed"] == 0


@pytest.fixture
def changed():
    """What is shipped, with another value for one experiment."""
    now = shipped()
    now["trained_gan"]["demo-dcgan"] = "0" * 16
    return now


def test_a_change_without_a_line_that_says_why_fails(changed):
    record, changes = read()
    assert problems(changed, record, changes) == ["trained_gan demo-dcgan is not what the record says"]
    with pytest.raises(ValueError, match="say why these change: trained_gan demo-dcgan"):
        recorded(changed, record, changes, why=" ")
    new_record, new_changes = recorded(changed, record, changes, why="a better initialisation")
    assert problems(changed, new_record, new_changes) == []
    assert new_changes.startswith(changes.rstrip())
    assert new_changes.rstrip().endswith(": a better initialisation")
    number = str(max(map(int, new_record["trained_gan"]["demo-dcgan"])))
    assert problems(changed, new_record, changes) == [f"change {number} has no line that says why"]


def test_a_record_that_was_edited_fails(changed):
    record, changes = read()
    record, changes = recorded(changed, record, changes, why="on purpose")
    edited = json.loads(json.dumps(record))
    number = max(edited["trained_gan"]["demo-dcgan"], key=int)
    edited["trained_gan"]["demo-dcgan"][number] = changed["trained_gan"]["demo-dcgan"] = "1" * 16
    assert problems(changed, edited, changes) == [f"change {number} is not what its line was written for"]


def test_the_first_entry_stands_for_everything():
    now = shipped()
    record, changes = recorded(now, {}, "# Changes\n", why="the first")
    assert problems(now, record, changes) == []
    assert {number for values in record["trained_gan"].values() for number in values} == {"1"}
    record["trained_gan"]["demo-dcgan"]["1"] = now["trained_gan"]["demo-dcgan"] = "3" * 16
    assert problems(now, record, changes) == ["change 1 is not what its line was written for"]


def test_what_is_new_needs_no_reason():
    now, (record, changes) = shipped(), read()
    now["trained_gan"]["brand-new"] = "2" * 16
    now["absent keys of an experiment"]["objective.something"] = 0
    new_record, new_changes = recorded(now, record, changes, why="")
    assert new_changes == changes
    assert problems(now, new_record, new_changes) == []
