"""Experiments while they run: what is said of each, and when it ends."""

import dagster as dg
import pytest
from rich.console import Console

from gan_core.planning.running import Moment
from gan_core.store import Store
from pipelines.jobs import EXPERIMENT_JOB
from pipelines.runs.following import Follower, Look, follow_in_lines, look_table, new_lines

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
MOMENT = Moment(
    experiment="plain",
    state="partly trained",
    running="process 1 on here",
    images_seen=500,
    total_images=1000,
    images_per_second=50.0,
    seconds_left=10.0,
    fid_in_training=12.5,
    fid_best=11.0,
)


@pytest.fixture
def follower(bench, instance) -> Follower:
    return Follower(instance, Store(bench.folder / "store"), bench.configs, ["other", "plain"])


def test_the_newest_run_of_each_is_told_and_the_training_of_one_in_progress(bench, instance, follower):
    assert follower.look() == Look({}) and follower.look().summary == "no run yet"
    bench.run(instance, EXPERIMENT_JOB, "other", FAILURE)
    bench.run(instance, EXPERIMENT_JOB, "plain", STARTED)
    look = follower.look()
    assert look.goes_on and look.summary == "1 running, 1 failed"
    assert list(look.moments) == ["plain"] and look.moments["plain"].total_images == 1000
    assert "see it in the UI" in look.failures["other"]


def test_it_ends_once_none_is_queued_or_in_progress(bench, instance, follower):
    run = bench.run(instance, EXPERIMENT_JOB, "plain", STARTED)
    looks = follower.looks(every=0.01, settle=0.0)
    assert next(looks).goes_on
    event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=EXPERIMENT_JOB)
    instance.report_dagster_event(event, run.run_id)
    rest = list(looks)
    assert rest[-1].summary == "1 succeeded" and not rest[-1].goes_on


def test_a_line_says_what_is_new_once():
    look, said = Look({"plain": "running", "other": "queued"}, {"plain": MOMENT}), {}
    assert new_lines(look, said) == [
        "plain: running, images seen 500 of 1,000 (50%), speed 50 images/s, FID while training 12.50 (best "
        "11.00), time left 10 s, verdict too early to judge",
        "other: queued",
    ]
    assert new_lines(look, said) == []
    ended = Look({"plain": "failed", "other": "queued"}, {}, {"plain": "trained_gan: no memory"})
    assert new_lines(ended, said) == ["plain: failed: trained_gan: no memory"]


def test_the_table_has_a_row_for_each_in_progress():
    console = Console(width=200)
    with console.capture() as captured:
        console.print(look_table(Look({"plain": "running", "other": "queued"}, {"plain": MOMENT})))
    heading, row, _, summary = captured.get().splitlines()
    assert row.split()[:2] == ["plain", "500"] and "12.50" in row and "10 s" in row
    assert "images seen" in heading and summary.strip() == "1 queued, 1 running"


def test_lines_end_with_the_last_look(monkeypatch, follower):
    monkeypatch.setattr(
        follower, "looks", lambda every: iter([Look({"plain": "queued"}), Look({"plain": "succeeded"})])
    )
    lines: list[str] = []
    assert follow_in_lines(follower, 1.0, lines.append).summary == "1 succeeded"
    assert lines == ["plain: queued", "plain: succeeded"]
