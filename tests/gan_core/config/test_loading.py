"""A configuration folder as a whole: grids, names, and what a mistake leaves out."""

import os
from pathlib import Path

import pytest

from gan_core.config import Keep, KeepPolicy, default_config_folder, load_configs, load_experiments
from gan_core.errors import ConfigError
from tests.small_configs import DATASET, EXPERIMENT, mistakes, text_of

REPOSITORY = Path(__file__).parents[3]


def test_shipped_configurations_load():
    configs = load_configs(REPOSITORY / "configs")
    assert configs.mistakes == ()
    assert {"digits", "cifar10", "mnist", "lsun-bedroom-64"} <= set(configs.datasets)
    assert {"demo-dcgan", "demo-wgan-gp", "demo-acgan"} <= set(configs.experiments)
    assert {"nightly", "weekly-evaluation", "prune"} <= set(configs.schedules)


# --- what is left out -------------------------------------------------------------------------------------


def test_every_mistake_of_every_file_is_reported_at_once(folder):
    (folder / "datasets" / "other.yaml").write_text("name: other\n")
    (folder / "experiments" / "second.yaml").write_text(EXPERIMENT)
    (folder / "experiments" / "third.yaml").write_text("name: third\ndataset: absent\nlength: {images: 1}\n")
    configs = load_configs(folder)
    text = text_of(configs)
    assert "other.yaml:1: `source` is missing" in text
    first = folder / "experiments" / "first.yaml"
    assert f"second.yaml:1: the name `first` is taken by {first}: choose another" in text
    assert "third.yaml:2: configs/datasets has no `absent`; there are: tiny" in text
    assert list(configs.experiments) == ["first"]
    assert list(configs.datasets) == ["tiny"]
    assert len(configs.mistakes) == 3


def test_a_bad_dataset_leaves_out_what_depends_on_it_and_says_why(folder):
    (folder / "datasets" / "other.yaml").write_text(DATASET.replace("tiny", "other").replace("16", "big"))
    path = folder / "experiments" / "second.yaml"
    path.write_text("name: second\ndataset: tiny\nlength: {images: 1}\ngrid:\n  dataset: [tiny, other]\n")
    configs = load_configs(folder)
    assert list(configs.experiments) == ["first", "second-dataset-tiny"]
    assert configs.experiments_by_dataset == {"tiny": ["first", "second-dataset-tiny"]}
    by_path = {mistake.path.name: mistake for mistake in configs.mistakes}
    assert "`image_size` is 'big'" in by_path["other.yaml"].message
    expected = f"{path}:5: dataset `other` was left out because of a mistake in its file: mend that"
    assert by_path["second.yaml"].message == expected
    assert by_path["second.yaml"].names == ("second-dataset-other",)


def test_the_later_file_of_two_with_one_name_is_left_out(folder):
    (folder / "datasets" / "zz.yaml").write_text(DATASET.replace("16", "32"))
    configs = load_configs(folder)
    assert configs.datasets["tiny"].image_size == 16
    assert "zz.yaml:1: the name `tiny` is taken by" in text_of(configs)
    assert list(configs.experiments) == ["first"]


def test_a_grid_that_gives_a_name_twice_is_left_out(folder):
    (folder / "experiments" / "twice.yaml").write_text(
        "name: twice\ndataset: tiny\nlength: {images: 1}\ngrid:\n  seed: [1, 1]\n"
    )
    text = mistakes(folder)
    assert "twice.yaml:5: grid has `1` twice in `seed`: remove one" in text


def test_of_two_files_with_one_name_the_one_that_is_called_so_stays(folder):
    (folder / "datasets" / "aa.yaml").write_text(DATASET.replace("16", "32"))
    configs = load_configs(folder)
    assert configs.datasets["tiny"].image_size == 16
    assert "aa.yaml:1: the name `tiny` is taken by" in text_of(configs)


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ("objective: [{name: hinge}, {name: minimax}]", "`objective` has sections: name the key that varies"),
        ("name: [a, b]", "grid cannot vary `name`"),
    ],
)
def test_what_a_grid_cannot_vary(folder, grid, told):
    (folder / "experiments" / "wide.yaml").write_text(
        f"name: wide\ndataset: tiny\nlength: {{images: 1}}\ngrid:\n  {grid}\n"
    )
    assert told in mistakes(folder)


def test_who_asks_for_what_was_left_out_is_told_its_mistake(folder):
    (folder / "experiments" / "grid.yaml").write_text(
        "name: wide\ndataset: tiny\nlength: {images: 1}\nbach_size: 3\ngrid:\n  seed: [0, 1]\n"
    )
    (folder / "experiments" / "torn.yaml").write_text("name: [")
    (folder / "datasets" / "other.yaml").write_text("name: other\n")
    configs = load_configs(folder)
    assert configs.experiment("first").name == "first"
    assert configs.dataset("tiny").name == "tiny"
    for name, told in [
        ("wide", "unknown key `bach_size`"),
        ("wide-seed-1", "unknown key `bach_size`"),
        ("torn", "not valid YAML"),
    ]:
        with pytest.raises(ConfigError, match=rf"(?s)experiment `{name}` was left out .*:\n.*{told}"):
            configs.experiment(name)
    with pytest.raises(ConfigError, match="(?s)dataset `other` was left out .*`source` is missing"):
        configs.dataset("other")
    for pattern in ("wide-*", "wide*", "w*"):  # who asks for many at once
        assert configs.left_out(pattern) == configs.left_out("wide")
    with pytest.raises(ConfigError, match="no experiment is named `torn-seed-1`"):
        configs.experiment("torn-seed-1")
    with pytest.raises(ConfigError, match="no experiment is named `fisrt`; did you mean `first`?"):
        configs.experiment("fisrt")
    with pytest.raises(ConfigError, match="no dataset is named `wide`; there are: tiny"):
        configs.dataset("wide")


def test_what_experiment_does_not_fit_its_dataset_is_left_out_alone(folder):
    (folder / "datasets" / "large.yaml").write_text(DATASET.replace("tiny", "large").replace("16", "48"))
    (folder / "experiments" / "second.yaml").write_text("name: second\ndataset: large\nlength: {images: 1}\n")
    configs = load_configs(folder)
    assert "makes images of 16, 32, 64, 128, 256 pixels, but dataset `large` has image_size 48" in text_of(
        configs
    )
    assert list(configs.experiments) == ["first"]
    assert set(configs.datasets) == {"tiny", "large"}


# --- the folder -------------------------------------------------------------------------------------------


def test_missing_configuration_folder_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="nowhere is no configuration folder.*GAN_CONFIGS.*new dataset"):
        load_configs(tmp_path / "nowhere")


def test_a_folder_without_experiments_is_one_to_begin_with(folder):
    (folder / "experiments" / "first.yaml").unlink()
    (folder / "experiments").rmdir()
    assert load_configs(folder).experiments == {}


def test_the_default_folder_is_that_of_the_checkout_or_of_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("GAN_CONFIGS", raising=False)
    assert default_config_folder() == REPOSITORY / "configs"
    monkeypatch.setattr("gan_core.places.__file__", str(tmp_path / "a" / "b" / "places.py"))
    monkeypatch.chdir(tmp_path)
    assert default_config_folder() == tmp_path / "configs"
    monkeypatch.setenv("GAN_CONFIGS", "elsewhere")
    assert default_config_folder() == Path("elsewhere")


def test_a_folder_that_may_not_be_listed_is_said(folder, monkeypatch):
    def refuse(place):
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(os, "listdir", refuse)
    text = text_of(load_configs(folder))
    assert f"{folder / 'datasets'}: cannot be read: Permission denied" in text


# --- grids ------------------------------------------------------------------------------------------------


def test_grid_expands_to_flat_readable_names(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(EXPERIMENT + "grid:\n  latent.size: [100, 10000]\n  batch_size: [32]\n  seed: [0, 1]\n")
    experiments = load_experiments(path)
    assert [e.name for e in experiments] == [
        "first-size-100-batch-size-32-seed-0",
        "first-size-100-batch-size-32-seed-1",
        "first-size-10000-batch-size-32-seed-0",
        "first-size-10000-batch-size-32-seed-1",
    ]
    assert [(e.latent.size, e.batch_size, e.seed) for e in experiments][2] == (10000, 32, 0)


def test_grid_over_lists_has_readable_names(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(EXPERIMENT + "grid:\n  optimizers.generator.betas: [[0.0, 0.9], [0.5, 0.999]]\n")
    assert [e.name for e in load_experiments(path)] == ["first-betas-0.0-0.9", "first-betas-0.5-0.999"]


@pytest.mark.timeout(60)
def test_a_grid_of_a_hundred_million_points_is_refused_at_once(folder):
    tens = f"[{', '.join(map(str, range(10)))}]"
    keys = ["seed", "latent.size", "batch_size", "n_critic", "log_every", "ema_decay", "publish", "precision"]
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + "grid:\n" + "".join(f"  {key}: {tens}\n" for key in keys))
    assert f"{path}:4: the grid has 100,000,000 points: one file makes at most 1,000" in mistakes(folder)


def test_of_many_mistakes_the_first_are_told_and_the_others_counted(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + f"grid:\n  seed: {[-number for number in range(1, 101)]}\n")
    lines = mistakes(folder).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "… and 80 more mistakes"


def test_what_is_kept_of_the_store_is_read_with_the_rest(folder):
    assert load_configs(folder).keep_policy == KeepPolicy(keep=Keep(versions=1, days=30), unfinished_days=30)
    text = "keep: {versions: 2, days: 7}\nassets:\n  samples: {versions: 0}\nunfinished_days: 3\n"
    (folder / "store.yaml").write_text(text)
    policy = load_configs(folder).keep_policy
    assert policy.of("trained_gan") == Keep(versions=2, days=7)
    assert policy.of("samples") == Keep(versions=0, days=30)
    assert policy.unfinished_days == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "keep:\n  versions: -1\n",
            "store.yaml:2: `keep.versions` is -1: input should be greater than or equal",
        ),
        ("assets:\n  sampels: {}\n", "store.yaml:2: no asset is named `sampels`; did you mean `samples`?"),
        (
            "assets:\n  samples: {dayz: 1}\n",
            "store.yaml:2: unknown key `assets.samples.dayz`, did you mean `assets",
        ),
        ("unfinished_days: soon\n", "store.yaml:1: `unfinished_days` is 'soon'"),
        ("keep: [", "store.yaml"),
    ],
)
def test_a_wrong_policy_leaves_the_rest_and_is_not_replaced_by_the_default(folder, content, told):
    (folder / "store.yaml").write_text(content)
    configs = load_configs(folder)
    assert list(configs.experiments) == ["first"]
    assert told in text_of(configs)
    assert [mistake.path.name for mistake in configs.mistakes] == ["store.yaml"]
    with pytest.raises(ConfigError, match="nothing is cleared away until this is mended:\n.*store.yaml"):
        _ = configs.keep_policy
