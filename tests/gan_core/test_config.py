"""Configurations: what is accepted, and what a mistake is told."""

from pathlib import Path

import pytest

from gan_core.config import Dataset, Experiment, load_configs, load_experiments
from gan_core.errors import ConfigError

DATASET = "name: tiny\nsource: {kind: digits}\nimage_size: 16\nchannels: 1\n"
EXPERIMENT = "name: first\ndataset: tiny\nlength: {images: 100}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "datasets" / "tiny.yaml").write_text(DATASET)
    (tmp_path / "experiments" / "first.yaml").write_text(EXPERIMENT)
    return tmp_path


def mistakes(folder: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        load_configs(folder)
    return str(raised.value)


def test_shipped_configurations_load():
    configs = load_configs(Path(__file__).parents[2] / "configs")
    assert {"digits", "cifar10", "mnist", "lsun-bedroom-64"} <= set(configs.datasets)
    assert {"demo-dcgan", "demo-wgan-gp", "demo-acgan"} <= set(configs.experiments)
    assert set(configs.nightly.experiments) <= set(configs.experiments)


def test_unknown_key_names_file_line_and_the_keys_that_exist(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + "latent:\n  sise: 10\n")
    text = mistakes(folder)
    assert f"{path}:5: unknown key `latent.sise`" in text
    assert "distribution, size" in text


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("bach_size: 64", "`bach_size`, did you mean `batch_size`?"),
        ("images: 100", "`images`, did you mean `length.images`?"),
        ("latent: {sise: 10}", "`latent.sise`, did you mean `latent.size`?"),
        (
            "learning_rate: 0.1",
            "did you mean `optimizers.generator.learning_rate` or `optimizers.discriminator.learning_rate`?",
        ),
    ],
)
def test_unknown_key_says_what_may_be_meant(folder, given, meant):
    (folder / "experiments" / "first.yaml").write_text(EXPERIMENT + given + "\n")
    assert meant in mistakes(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "expected"),
    [
        ("datasets/tiny", "image_size: 16", "image_size: big", 3, "`image_size` is 'big'"),
        ("datasets/tiny", "channels: 1", "channels: 2", 4, "`channels` is 2: input should be 1 or 3"),
        ("datasets/tiny", "{kind: digits}", "{kind: lsun}", 2, "needs a `category`"),
        ("datasets/tiny", "channels: 1", "channels: 1\nclasses: [0, 1]", 5, "`classes.0` is 0"),
        ("datasets/tiny", "channels: 1", "channels: 1\nclasses: []", 1, "two names or more"),
        ("experiments/first", "{images: 100}", "{epochs: .inf}", 3, "`length.epochs` is inf"),
        ("experiments/first", "{images: 100}", "{}", 3, "exactly one of `images` and `epochs`"),
        ("experiments/first", "dataset: tiny", "dataset: tiny\nbatch_size: 1", 3, "`batch_size` is 1"),
        (
            "experiments/first",
            "100}",
            "1e5}",
            3,
            "is '1e5', which YAML reads as text: write 100000",
        ),
        ("experiments/first", "dataset: tiny", "dataset: tinny", 2, "has no `tinny`; did you mean `tiny`?"),
        (
            "experiments/first",
            "dataset: tiny",
            "dataset: tiny\nlatent: 9",
            3,
            "write keys of its own below it: size, d",
        ),
        (
            "experiments/first",
            "dataset: tiny",
            "dataset: tiny\nstop_on: nan",
            3,
            "for example `stop_on: [nan]`",
        ),
    ],
)
def test_wrong_value_names_file_line_value_and_remedy(folder, file, old, new, line, expected):
    path = folder / f"{file}.yaml"
    path.write_text(path.read_text().replace(old, new))
    text = mistakes(folder)
    assert f"{path}:{line}: " in text
    assert expected in text


@pytest.mark.parametrize(
    ("addition", "line", "expected"),
    [
        ("objective: {name: wasserstein}", 4, "needs `gradient_penalty`"),
        (
            "objective: {gradient_penalty: 10}\narchitecture:\n  width: 8\n  discriminator_norm: batch",
            7,
            "set architecture.discriminator_norm to `layer` or `none`",
        ),
        (
            "architecture: {discriminator_norm: batch}\nobjective: {r1: 1}",
            4,
            "set architecture.discriminator_norm to `layer` or `none`",
        ),
        ("conditioning: {name: acgan}", 4, "needs labels, but dataset `tiny` has none"),
        ("conditioning: {name: projection}", 4, "needs labels, but dataset `tiny` has none"),
        (
            "output:\n  activation: sigmoid\n  image_range: [-1, 1]",
            6,
            "`sigmoid` draws images in [0, 1], but image_range is [-1, 1]",
        ),
        ("output: {image_range: [0, 1]}", 4, "`tanh` draws images in [-1, 1], but image_range is [0, 1]"),
        ("objective: {weight_clip: 0.1}", 4, "weight_clip is for objective `wasserstein`"),
        (
            "objective:\n  name: wasserstein\n  gradient_penalty: 10\n  weight_clip: 0.1",
            7,
            "both bound the critic: keep one",
        ),
        (
            "objective: {name: wasserstein, weight_clip: 0.1}\narchitecture: {spectral_norm: true}",
            4,
            "weight_clip has no effect",
        ),
        (
            "objective:\n  name: hinge\n  label_smoothing: 0.1",
            6,
            "objective `hinge` has no labels to smooth",
        ),
        (
            "architecture:\n  minibatch_discrimination: 10\n"
            "objective: {name: wasserstein, gradient_penalty: 10}",
            5,
            "minibatch_discrimination mixes the images of a batch",
        ),
        ("architecture: {name: mlp, minibatch_stddev: true}", 4, "use minibatch_discrimination"),
        ("architecture: {name: dense_dcgan}", 4, "makes images of 64 pixels, but dataset `tiny` has"),
        ("conditioning: {g_scale: 0.1}", 4, "are for conditioning `acgan`"),
        (
            "optimizers:\n  generator: {name: rmsprop, betas: [0.0, 0.9]}",
            5,
            "betas is no setting of `rmsprop`",
        ),
        ("optimizers:\n  discriminator:\n    momentum: 0.9", 6, "momentum is no setting of `adam`"),
        ("latent: {size: 10001}", 4, "`latent.size` is 10001"),
        ("latent: {size: 0}", 4, "`latent.size` is 0"),
        ("stop_on: [boredom]", 4, "`stop_on.0` is 'boredom'"),
        ("objective: {differentiable_augmentation: [color, color]}", 4, "names one twice"),
    ],
)
def test_contradictions_name_the_line_and_what_is_right(folder, addition, line, expected):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + addition + "\n")
    text = mistakes(folder)
    assert expected in text
    assert f"{path}:{line}: " in text


def test_a_contradiction_in_a_grid_names_the_grid_line(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + "output: {activation: sigmoid}\ngrid:\n  output.image_range: [[-1, 1]]\n")
    assert f"{path}:6: `sigmoid` draws images in [0, 1]" in mistakes(folder)


def test_every_wrong_point_of_a_grid_is_named_once(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + "bach_size: 3\ngrid:\n  seed: [-1, 0, -2]\n  n_critic: [1, 0]\n")
    text = mistakes(folder)
    assert f"{path}:6: `seed` is -1" in text
    assert f"{path}:6: `seed` is -2" in text
    assert text.count(f"{path}:7: `n_critic` is 0") == 1
    assert text.count("unknown key `bach_size`") == 1


def test_what_follows_from_other_keys_is_filled_in():
    def built(**values):
        return Experiment.model_validate({"name": "a", "dataset": "b", "length": {"images": 1}, **values})

    assert built().architecture.width == 64
    assert built(architecture={"name": "dense_dcgan"}).architecture.discriminator_width == 32
    assert built(architecture={"width": 16}).architecture.discriminator_width == 16
    assert built(architecture={"spectral_norm": True}).architecture.discriminator_norm == "none"
    assert built(objective={"r1": 1}).architecture.discriminator_norm == "layer"
    assert built(architecture={"name": "mlp"}).architecture.generator_norm == "none"
    assert built(output={"activation": "sigmoid"}).output.image_range == (0, 1)
    again = Experiment.model_validate({**built().training_config(), "name": "c"})
    assert again.training_config() == built().training_config()


def test_watching_changes_the_fingerprint_only_where_it_decides_something():
    def config(**values):
        given = {"name": "a", "dataset": "b", "length": {"images": 1}, **values}
        return Experiment.model_validate(given).training_config()

    assert config(evaluate_every=7, log_every=3, checkpoint_every=9, keep_checkpoints=5) == config()
    assert config(publish="best", evaluate_every=7) != config(publish="best")
    assert config(stop_on=["mode_collapse"], evaluate_every=7) != config(stop_on=["mode_collapse"])


def test_size_that_the_network_cannot_make(folder):
    (folder / "datasets" / "tiny.yaml").write_text(DATASET.replace("16", "48"))
    text = mistakes(folder)
    assert "makes images of 16, 32, 64, 128, 256 pixels, but dataset `tiny` has image_size 48" in text


def test_every_mistake_of_every_file_is_reported_at_once(folder):
    (folder / "datasets" / "other.yaml").write_text("name: other\n")
    (folder / "experiments" / "second.yaml").write_text(EXPERIMENT.replace("tiny", "absent"))
    text = mistakes(folder)
    assert "other.yaml:1: `source` is missing" in text
    assert "the name `first` is taken by" in text
    assert "second.yaml:2: configs/datasets has no `absent`; there are: tiny" in text


def test_file_that_is_no_yaml_is_named(folder):
    (folder / "datasets" / "broken.yaml").write_text("name: [")
    assert "broken.yaml:1: not valid YAML: expected" in mistakes(folder)


def test_nightly_must_name_experiments_that_exist(folder):
    (folder / "nightly.yaml").write_text("experiments: [first, absent]\n")
    assert "no experiment is named `absent`" in mistakes(folder)


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


def test_discriminator_norm_follows_the_penalty():
    plain = Experiment(name="a", dataset="d", length={"images": 1})
    penalised = Experiment(
        name="a", dataset="d", length={"images": 1}, objective={"name": "wasserstein", "gradient_penalty": 10}
    )
    assert plain.architecture.discriminator_norm == "batch"
    assert penalised.architecture.discriminator_norm == "layer"


def test_training_config_leaves_out_what_does_not_change_the_result():
    one = Experiment(name="a", dataset="d", length={"images": 1}, description="x", checkpoint_every=5)
    two = Experiment(name="b", dataset="d", length={"images": 1})
    assert one.training_config() == two.training_config()
    assert one.training_config() != two.model_copy(update={"seed": 1}).training_config()


def test_locations_run_config_before_environment_before_yaml(monkeypatch):
    dataset = Dataset.model_validate(
        {"name": "my-set", "source": {"kind": "images", "train": "yaml"}, "image_size": 16, "channels": 3}
    )
    assert dataset.locations() == {"train": "yaml", "test": None}
    monkeypatch.setenv("GAN_SOURCE_MY_SET", "whole")
    assert dataset.locations() == {"train": "whole", "test": None}
    monkeypatch.setenv("GAN_SOURCE_MY_SET_TRAIN", "split")
    monkeypatch.setenv("GAN_SOURCE_MY_SET_TEST", "other")
    assert dataset.locations() == {"train": "split", "test": "other"}
    assert dataset.locations({"train": "given"}) == {"train": "given", "test": "other"}


def test_another_train_split_is_not_mixed_with_the_configured_test_split(monkeypatch):
    source = {"kind": "images", "train": "yaml-train", "test": "yaml-test"}
    dataset = Dataset.model_validate({"name": "x", "source": source, "image_size": 16, "channels": 3})
    assert dataset.locations() == {"train": "yaml-train", "test": "yaml-test"}
    monkeypatch.setenv("GAN_SOURCE_X_TEST", "other-test")
    assert dataset.locations() == {"train": "yaml-train", "test": "other-test"}
    monkeypatch.delenv("GAN_SOURCE_X_TEST")
    monkeypatch.setenv("GAN_SOURCE_X", "whole")
    assert dataset.locations() == {"train": "whole", "test": None}


def test_missing_configuration_folder_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="nowhere is no configuration folder.*GAN_CONFIGS"):
        load_configs(tmp_path / "nowhere")


def test_key_given_twice_is_refused(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + "latent:\n  size: 5\n  size: 6\n")
    assert f"{path}:6: `size` is given twice" in mistakes(folder)


def test_grid_over_lists_has_readable_names(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(EXPERIMENT + "grid:\n  optimizers.generator.betas: [[0.0, 0.9], [0.5, 0.999]]\n")
    assert [e.name for e in load_experiments(path)] == ["first-betas-0.0-0.9", "first-betas-0.5-0.999"]
