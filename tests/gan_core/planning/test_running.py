"""A training that is watched: what is seen of it while it runs, once it was stopped, and at its end."""

import pytest

from gan_core.cli.commands.looking.watch import cells_of
from gan_core.planning.running import Moment, Watch
from tests.small_store import SEED

LENGTH = 6000
RUN = {**SEED, "length": {"images": LENGTH}, "evaluation_samples": 100}


def watched_training(project, stop_at: int | None = None) -> list[Moment]:
    """What a watcher sees whenever the training shows itself, until it ends or is interrupted."""
    watch, moments = Watch(project.store, project.configs, "seed"), []

    def look(snapshot):
        moments.append(watch.look())
        if stop_at and moments[-1].images_seen >= stop_at:
            raise KeyboardInterrupt

    project.train("seed", observe=look, observe_interval=0.0)
    return [*moments, watch.look()]


def test_a_training_is_seen_from_its_first_row_to_its_verdict(project):
    project.write({**RUN, "evaluate_every": 2000})
    *moments, end = watched_training(project)
    with_rows = [moment for moment in moments if moment.losses]
    seen = [moment.images_seen for moment in with_rows]
    assert seen == sorted(seen) and 0 < seen[0] < seen[-1] <= LENGTH
    for moment in with_rows:
        assert "process" in moment.running and moment.total_images == LENGTH
        assert moment.images_per_second > 0 and {"d_loss", "g_loss"} <= moment.losses.keys()
        assert moment.seconds_left >= (LENGTH - moment.images_seen) / moment.images_per_second
        assert (moment.verdict is None) == (moment.images_seen < 0.1 * LENGTH)
    assert any(moment.fid_in_training for moment in with_rows)
    trained = project.store.require("trained_gan", "seed")
    assert end.ended and end.seconds_left == 0 and end.images_seen == LENGTH
    assert end.verdict and end.losses["d_loss"] == pytest.approx(trained.figures["d_loss"], rel=1e-6)
    assert end.fid_in_training == pytest.approx(trained.figures["fid_in_training"], rel=1e-6)
    assert end.fid_best == pytest.approx(trained.figures["fid_best"], rel=1e-6)


def test_what_a_killed_training_had_done_beyond_its_checkpoint_is_not_counted_twice(project):
    project.write(RUN)
    with pytest.raises(KeyboardInterrupt):
        watched_training(project, stop_at=1000)
    stopped = Watch(project.store, project.configs, "seed").look()
    assert stopped.running is None and stopped.state == "partly trained"
    assert 1000 <= stopped.images_seen < LENGTH
    assert stopped.images_per_second > 0 and stopped.seconds_left is None
    assert "images/s when it last trained" in dict(cells_of(stopped))["speed"]
    assert "time left" not in {name for name, value in cells_of(stopped) if value}
    watched_training(project)
    watch = Watch(project.store, project.configs, "seed")
    watch.look()
    (records,) = watch._records.values()
    rows = [row["images_seen"] for row in records.rows("training")]
    assert len(rows) == len(set(rows)) and rows == sorted(rows)


def test_of_a_training_that_never_ran_only_that_is_known(empty):
    moment = Watch(empty.store, empty.configs, "seed").look()
    assert moment.ended and moment.state == "never trained" and moment.images_seen == 0
    assert moment.record()["losses"] == {} and moment.seconds_left is None


def test_of_a_stopped_training_its_own_speed_says_how_long_the_rest_takes(project):
    project.write({**RUN, "architecture": {"width": 4}})
    assert project.plan("seed").experiments[0].training.seconds is None
    with pytest.raises(KeyboardInterrupt):
        watched_training(project, stop_at=1000)
    moment = Watch(project.store, project.configs, "seed").look()
    training = project.plan("seed").experiments[0].training
    assert training.action == "resume" and training.recorded_of is None
    assert training.seconds >= (LENGTH - moment.images_seen) / moment.images_per_second
    assert training.seconds < 60
