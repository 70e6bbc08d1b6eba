"""Sweeps whose trials take no time: what is chosen, pruned, told, and what holds wherever they are killed."""

import re
import sys
from collections.abc import Callable

import optuna
import pytest

from gan_core.errors import ConfigError
from gan_core.sweeps.study import DONE, PRUNED, UNFINISHED, Study, open_storage
from tests.gan_core.sweeps.conftest import Killed, Search

NAMES = [f"search-trial-{number:03d}" for number in range(6)]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_best_of_the_trials_is_found(search, sampler):
    search.write(sampler=sampler, trials=6)
    lines: list[str] = []
    result = search.run(emit=lines.append)
    assert search.workers.started == NAMES
    assert [trial.state for trial in result.trials] == [DONE] * 6
    assert result.best.figure == min(row[0] for row in search.rows())
    assert not search.load().mistakes
    assert f"6 of 6 trials have ended; best so far FID {result.best.figure:.4f}" in lines[-1]


def test_a_sweep_that_has_ended_makes_nothing_again_and_more_trials_go_on(search):
    search.run()
    before = search.rows()
    assert search.run().count(DONE) == 3 and len(search.workers.started) == 3
    search.write(trials=5)
    assert search.run().count(DONE) == 5
    assert search.workers.started == NAMES[:5] and search.rows()[:3] == before


def test_a_grid_makes_every_combination_once(search):
    choices = {"optimizers.generator.learning_rate": {"choices": [1e-4, 1e-3, 1e-2]}}
    space = {**choices, "architecture.width": {"choices": [4, 8]}}
    search.write(sampler="grid", space=space, trials=None)
    assert search.run().count(DONE) == 6
    assert sorted(search.rows()) == [[rate, width] for rate in (1e-4, 1e-3, 1e-2) for width in (4, 8)]


def test_a_small_space_ends_when_it_is_used_up_and_makes_nothing_twice(search):
    search.write(sampler="random", space={"architecture.width": {"choices": [4, 8, 12]}}, trials=9)
    assert search.run().count(DONE) == 3
    assert sorted(search.rows()) == [[4], [8], [12]]


def test_what_is_better_where_it_is_higher_is_maximised(search):
    search.write(figure="recall")
    assert search.run().best.figure == max(row[0] for row in search.rows())


def test_what_repeats_images_is_not_the_best(search):
    first = search.run().best
    search.write(trials=6, seed=1)
    search.workers.started.clear()
    search.workers.fid = lambda experiment: 0.0 if experiment.name == NAMES[2] else 1.0
    search.workers.demotions = {NAMES[2]: 2}
    best = search.run().best
    assert best.figure == 1.0 and best.name != NAMES[2] and first.demotion == 0


def test_a_trial_that_fails_is_told_and_tried_again(search):
    search.workers.failing = {NAMES[1]: "the disk is full"}
    result = search.run()
    assert result.failed == {NAMES[1]: "the disk is full"}
    assert [trial.state for trial in result.trials] == [DONE, UNFINISHED, DONE]
    assert result.trials[1].failed == "the disk is full"
    before = search.rows()
    search.workers.failing, search.workers.started = {}, []
    assert search.run().count(DONE) == 3
    assert search.workers.started == [NAMES[1]] and search.rows() == before


def test_as_many_run_at_once_as_is_said(search):
    search.write(trials=6, at_once=3)
    search.workers.looks = 2
    assert search.run().count(DONE) == 6
    assert search.workers.most_at_once == 3 and sorted(search.workers.started) == NAMES


def test_successive_halving_ends_trials_that_are_behind(search):
    search.write(trials=6, sampler="random", pruning={"reduction": 2, "first": 1})
    search.workers.looks = 1
    search.workers.curves = lambda name: [100.0 + int(name[-3:]), 50.0 + int(name[-3:])]  # each a bit worse
    lines: list[str] = []
    result = search.run(emit=lines.append)
    states = [trial.state for trial in result.trials]
    assert states[0] == DONE and states[1:] == [PRUNED] * 5
    assert search.workers.started == NAMES
    assert sum("pruned: its in-training FID is behind" in line for line in lines) == 5
    search.workers.started.clear()
    search.run()
    assert search.workers.started == []  # what was pruned is not made again


def test_a_trial_that_came_to_its_end_before_it_was_pruned_counts(search):
    search.write(trials=2, sampler="random", pruning={})
    search.workers.curves = lambda name: [100.0 + int(name[-3:])]
    assert [trial.state for trial in search.run().trials] == [DONE, DONE]


def test_without_a_rung_nothing_is_pruned(search):
    search.write(trials=4, sampler="random", pruning={"first": 3})
    search.workers.looks = 1
    search.workers.curves = lambda name: [100.0 + int(name[-3:]), 50.0 + int(name[-3:])]
    assert search.run().count(DONE) == 4


def kill_at(monkeypatch, search: Search, moment: int) -> Study:
    """A study that is killed before it tells its storage something for this number of times."""
    study = search.study()
    calls = iter(range(10**6))

    def killing(write: Callable) -> Callable:
        def told(*arguments, **options):
            if next(calls) == moment:
                raise Killed
            return write(*arguments, **options)

        return told

    for name in filter(re.compile("create_new_trial|set_trial").match, dir(search.storage)):
        monkeypatch.setattr(search.storage, name, killing(getattr(search.storage, name)))
    return study


def test_killed_at_any_moment_it_goes_on_as_it_would_have(search, monkeypatch, tmp_path_factory):
    search.write(sampler="tpe", trials=4)
    search.run()
    expected, started = search.rows(), list(search.workers.started)
    killed = 0
    for moment in range(0, 40, 4):
        again = Search(tmp_path_factory.mktemp("killed"))
        copy_configs(search, again)
        try:
            again.run(kill_at(monkeypatch, again, moment))
        except Killed:
            killed += 1
        monkeypatch.undo()
        monkeypatch.setattr("gan_core.sweeps.running.LOOK_SECONDS", 0.0)
        result = again.run()
        assert again.rows() == expected
        assert [trial.state for trial in result.trials] == [DONE] * 4
        assert sorted(set(again.workers.started)) == started  # at most the one under way was started twice
        assert len(again.workers.started) <= len(started) + 1
    assert killed > 5


def copy_configs(search: Search, other: Search) -> None:
    for kind in ("datasets", "experiments", "sweeps"):
        folder = other.folder / "configs" / kind
        folder.mkdir(parents=True)
        for path in (search.folder / "configs" / kind).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())


def test_where_the_storage_is_lost_the_trials_are_those_of_the_file(search):
    search.run()
    before = search.rows()
    search.storage = optuna.storages.InMemoryStorage()
    search.workers.started.clear()
    study = search.study()
    study.restore([dict(zip(search.load().sweeps["search"].space, row, strict=True)) for row in before])
    assert search.run(study).count(DONE) == 3
    assert search.rows() == before and search.workers.started == NAMES[:3]


def test_an_interrupt_ends_what_is_under_way(search):
    search.write(at_once=2)
    search.workers.looks = 10**9

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.run(still_ours=stop)
    assert [trial.interrupted for trial in search.workers.running] == [True, True]
    search.workers.looks = 0
    assert search.run().count(DONE) == 3


def test_a_combination_that_is_no_experiment_is_passed_over(search):
    study = search.study()
    make, refused = study.maker.make, []

    def refusing(name, values, *rest):
        if len(refused) < 2:
            refused.append(values)
            raise ConfigError("no experiment")
        return make(name, values, *rest)

    study.maker.make = refusing
    assert search.run(study).count(DONE) == 3 and len(refused) == 2


def test_importances_tell_which_key_matters(search):
    search.write(trials=12, sampler="random")
    search.run()
    shares = search.study().importances()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["optimizers.generator.learning_rate"] > 0.9


def test_a_storage_that_cannot_be_opened_is_named(search, monkeypatch):
    with pytest.raises(ConfigError, match="cannot be opened: .*GAN_SWEEPS"):
        open_storage(f"sqlite:///{search.folder / 'absent' / 'sweeps.db'}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'gan-pipelines\[sweeps\]'"):
        open_storage("sqlite://")


def test_a_configuration_folder_that_cannot_be_written_is_named_before_anything_is_made(search):
    (search.folder / "configs" / "trials").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written, and a sweep keeps its trials there"):
        search.run()
    assert search.workers.started == []
