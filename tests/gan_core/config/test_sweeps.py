"""Sweeps and their trials as configurations: what a trial is, and what is refused, with file and line."""

import json
from pathlib import Path

import pytest

from gan_core.config import load_configs, trial_maker
from gan_core.config.sweeps import MOST_CORNERS
from gan_core.config.trials import Trials, trials_path, trials_text
from gan_core.errors import ConfigError
from tests.small_configs import mistakes, text_of

SWEEP = """name: search
base: first
space:
  optimizers.generator.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  architecture.width: {choices: [4, 8]}
trials: 3
"""


def sweep(folder: Path, text: str = SWEEP) -> None:
    (folder / "sweeps").mkdir(exist_ok=True)
    (folder / "sweeps" / "search.yaml").write_text(text)


def chosen(folder: Path, *trials: tuple, version: str | None = None) -> None:
    maker = trial_maker(load_configs(folder), "search")
    keys = tuple(maker.sweep.space)
    file = Trials(sweep="search", version=version or maker.version, keys_that_vary=keys, trials=trials)
    path = trials_path(folder, "search")
    path.parent.mkdir(exist_ok=True)
    path.write_text(trials_text(file))


def test_a_sweep_names_its_trials_before_they_are_chosen(folder):
    sweep(folder)
    configs = load_configs(folder)
    assert not configs.mistakes
    names = ["search-trial-000", "search-trial-001", "search-trial-002"]
    assert configs.sweeps["search"].trial_names == names
    assert configs.sweep_of == dict.fromkeys(names, "search")
    with pytest.raises(ConfigError, match="is not chosen yet: run `python -m pipelines sweep search`"):
        configs.experiment(names[0])


def test_a_chosen_trial_is_the_base_with_other_values(folder):
    sweep(folder)
    chosen(folder, (5e-05, 8), (0.0002, 4))
    configs = load_configs(folder)
    assert not configs.mistakes
    trial, base = configs.experiment("search-trial-000"), configs.experiments["first"]
    differing = {key for key, value in trial.dotted().items() if value != base.dotted()[key]}
    assert trial.optimizers.generator.learning_rate == 5e-05 and trial.architecture.width == 8
    assert trial.architecture.discriminator_width == 8  # what follows from a key is not the base's
    assert differing == {
        "optimizers.generator.learning_rate",
        "architecture.width",
        "architecture.discriminator_width",
    }
    assert configs.grid_point("search-trial-001") == {
        "optimizers.generator.learning_rate": 0.0002,
        "architecture.width": 4,
    }


def test_the_base_may_be_a_point_of_a_grid(folder):
    file = folder / "experiments" / "first.yaml"
    file.write_text(file.read_text() + "grid: {batch_size: [16, 32]}\n")
    sweep(folder, SWEEP.replace("base: first", "base: first-batch-size-32"))
    chosen(folder, (0.001, 4))
    assert load_configs(folder).experiment("search-trial-000").batch_size == 32


def test_trials_of_an_earlier_version_are_not_taken_for_this_one(folder):
    sweep(folder)
    chosen(folder, (0.001, 4))
    before = trial_maker(load_configs(folder), "search").version
    sweep(folder, SWEEP.replace("trials: 3", "trials: 30\ndescription: longer\nat_once: 2"))
    assert "search-trial-000" in load_configs(folder).experiments
    sweep(folder, SWEEP.replace("[4, 8]", "[4, 16]"))
    configs = load_configs(folder)
    assert "search-trial-000" not in configs.experiments and not configs.mistakes
    assert trial_maker(configs, "search").version != before


def test_another_base_or_evaluation_is_another_version(folder):
    sweep(folder)
    versions = {trial_maker(load_configs(folder), "search").version}
    for file, line in (
        ("experiments/first.yaml", "batch_size: 32\n"),
        ("datasets/tiny.yaml", "evaluation: {samples: 99}\n"),
    ):
        (folder / file).write_text((folder / file).read_text() + line)
        versions.add(trial_maker(load_configs(folder), "search").version)
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("base: first", "base: frist"), 2, "no experiment is named `frist`; did you mean `first`?"),
        (("trials: 3", "trial: 3"), 6, "unknown key `trial`, did you mean `trials`?"),
        (("trials: 3\n", ""), 1, "`tpe` never ends by itself: say how many `trials`"),
        (("log: true", "log: yes"), 4, "write true"),
        (("low: 1.0e-4", "low: 0.0"), 4, "which has no logarithm"),
        (("low: 1.0e-4", "low: 1.0"), 4, "low is 1.0, which is not below high, 0.01"),
        (("high: 1.0e-2, log: true", "choices: [1, 2]"), 4, "give either `choices`, or `low` and `high`"),
        (("[4, 8]", "[4, 4]"), 5, "choices has `4` twice: remove one"),
        (("[4, 8]", "[4, -8]"), 5, "`architecture.width` is -8: input should be greater than"),
        (("architecture.width", "architecture.widht"), 5, "did you mean `architecture.width`?"),
        (("architecture.width", "name.width"), 5, "`name.width` does not name a key of a section"),
        (
            ("architecture.width", "seed"),
            5,
            "does not vary `seed`: the best of several seeds is luck",
        ),
        (("architecture.width", "dataset"), 5, "figures of several datasets do not compare"),
        (("trials: 3", "trials: 3\nsampler: grid"), 4, "a grid takes `choices: [...]`"),
        (("trials: 3", "trials: 3\nfigure: fud"), 7, "is named `fud`; did you mean `fwd` or `fid`?"),
        (
            ("trials: 3", "trials: 3\nfigure: recall\npruning: {}"),
            8,
            "remove pruning, or set figure to `fid`",
        ),
        (("trials: 3", "trials: 1000000"), 6, "less than or equal to 1000"),
        (
            ("{choices: [4, 8]}", "{choices: [4, 8]}\n  architecture.name: {choices: [dcgan, resnet]}"),
            6,
            "`resnet` makes images of",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(folder, change, line, said):
    assert change[0] in SWEEP
    sweep(folder, SWEEP.replace(*change))
    configs = load_configs(folder)
    told = text_of(configs)
    assert f"search.yaml:{line}: " in told and said in told, told
    assert configs.sweeps == {} and configs.sweep_of == {}
    with pytest.raises(ConfigError, match="left out because of a mistake"):
        configs.sweep("search")


def test_a_corner_that_is_no_experiment_is_found_wherever_it_is(folder):
    sweep(
        folder,
        """name: search
base: first
space:
  architecture.discriminator_norm: {choices: [none, batch, layer]}
  objective.r1: {low: 0.0, high: 10.0}
trials: 3
""",
    )
    told = mistakes(folder)
    assert "search.yaml:4: a gradient penalty is taken image by image" in told
    assert len(told.splitlines()) == 1


def test_of_a_large_space_each_value_is_validated(folder):
    keys = ("latent.size", "n_critic", "batch_size", "log_every", "shuffle_window")
    values = ", ".join(str(value) for value in range(2, 12))
    space = "".join(f"  {key}: {{choices: [{values}]}}\n" for key in keys)
    sweep(folder, f"name: search\nbase: first\nspace:\n{space}trials: 5\n")
    configs = load_configs(folder)
    assert not configs.mistakes
    assert len(list(configs.sweeps["search"].corners())) == len(keys) * 10 < MOST_CORNERS
    sweep(folder, f"name: search\nbase: first\nspace:\n{space.replace('11]', '-1]')}trials: 5\n")
    assert len(mistakes(folder).splitlines()) == len(keys)


def test_a_figure_that_the_dataset_does_not_measure_is_refused(folder):
    dataset = folder / "datasets" / "tiny.yaml"
    dataset.write_text(dataset.read_text() + "evaluation: {metrics: [fid]}\n")
    sweep(folder, SWEEP + "figure: recall\n")
    assert "search.yaml:7: `recall` is not measured on dataset `tiny`: name its metric" in mistakes(folder)
    sweep(folder, SWEEP + "figure: fid\n")
    assert mistakes(folder) == ""


def test_a_grid_has_as_many_trials_as_combinations(folder):
    space = "{architecture.width: {choices: [4, 8]}, latent.size: {choices: [2, 3, 4]}}"
    sweep(folder, f"name: search\nbase: first\nsampler: grid\nspace: {space}\n")
    assert load_configs(folder).sweeps["search"].count == 6


def test_damaged_and_orphaned_files_of_trials_are_named(folder):
    sweep(folder)
    chosen(folder, (0.001, 4))
    path = trials_path(folder, "search")
    text = path.read_text()
    path.write_text(text.replace("[0.001, 4]", "[0.001]"))
    assert "trials/search.yaml:5: trial 0 has 1 values for 2 keys" in mistakes(folder)
    path.write_text(text)
    (folder / "sweeps" / "search.yaml").unlink()
    assert "there is no sweep `search`: remove this file, or bring the sweep back" in mistakes(folder)


def test_an_experiment_may_not_have_the_name_of_a_trial(folder):
    sweep(folder)
    text = (folder / "experiments" / "first.yaml").read_text()
    name = "search-trial-001"
    (folder / "experiments" / f"{name}.yaml").write_text(text.replace("name: first", f"name: {name}"))
    assert f"an experiment is called `{name}`, as a trial would be" in mistakes(folder)


def test_the_file_of_many_trials_can_be_read_again(folder):
    sweep(folder, SWEEP.replace("trials: 3", "trials: 1000"))
    chosen(folder, *((float(f"{0.0001 * 1.004**i:.4g}"), 4 + 4 * (i % 2)) for i in range(1000)))
    configs = load_configs(folder)
    assert not configs.mistakes and len(configs.experiments) == 1001


def test_values_are_written_as_they_are_read(folder):
    space = {"optimizers.generator.betas": {"choices": [[0.5, 0.999], [0.0, 0.9]]}}
    space |= {"ema_decay": {"choices": [None, 0.99]}, "horizontal_flips": {"choices": [True, False]}}
    sweep(folder, json.dumps({"name": "search", "base": "first", "space": space, "trials": 2}))
    chosen(folder, ([0.0, 0.9], None, True))
    trial = load_configs(folder).experiment("search-trial-000")
    assert trial.optimizers.generator.betas == (0.0, 0.9)
    assert trial.ema_decay is None and trial.horizontal_flips is True
