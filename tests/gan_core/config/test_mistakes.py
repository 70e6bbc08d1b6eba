"""What a mistake in a configuration is told: file, line, value, remedy."""

import pytest

from gan_core.config import unknown
from tests.small_configs import DATASET, EXPERIMENT, mistakes


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
    "given",
    [
        "seed: true",
        "batch_size: true",
        "ema_decay: true",
        "objective: {r1: true}",
        "optimizers: {generator: {betas: [true, 0.9]}}",
    ],
)
def test_true_is_no_number(folder, given):
    (folder / "experiments" / "first.yaml").write_text(EXPERIMENT + given + "\n")
    assert "input should be a number, not true or false" in mistakes(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "expected"),
    [
        ("datasets/tiny", "image_size: 16", "image_size: big", 3, "`image_size` is 'big'"),
        ("datasets/tiny", "channels: 1", "channels: 2", 4, "`channels` is 2: input should be 1 or 3"),
        ("datasets/tiny", "{kind: digits}", "{kind: lsun}", 2, "needs a `category`"),
        ("datasets/tiny", "channels: 1", "channels: 1\nclasses: [0, 1]", 5, "`classes.0` is 0"),
        ("datasets/tiny", "channels: 1", "channels: 1\nclasses: []", 1, "two names or more"),
        (
            "datasets/tiny",
            "channels: 1",
            "channels: 1\ndeduplicate: true",
            5,
            "`deduplicate` is True: write keys of its own below it: method, threshold, remove",
        ),
        (
            "datasets/tiny",
            "channels: 1",
            "channels: 1\ndeduplicate: {treshold: 3}",
            5,
            "unknown key `deduplicate.treshold`, did you mean `deduplicate.threshold`? The keys here are: "
            "method, remove, threshold",
        ),
        ("experiments/first", "{images: 100}", "{epochs: .inf}", 3, "`length.epochs` is inf"),
        ("experiments/first", "{images: 100}", "{}", 3, "exactly one of `images` and `epochs`"),
        ("experiments/first", "dataset: tiny", "dataset: tiny\nbatch_size: 1", 3, "`batch_size` is 1"),
        (
            "experiments/first",
            "100}",
            "'1e5'}",
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
    ("addition", "expected"),
    [
        # Numbers that no machine could do, each with the largest that is taken.
        (
            "batch_size: 1000000000000000000000000000000",
            "is 1000000000000000000000000000000: input should be less than or equal to 65536",
        ),
        ("batch_size: 1e30", "`batch_size` is 1e+30: input should be less than or equal to 65536"),
        (
            "architecture: {width: 1000000000}",
            "`architecture.width` is 1000000000: input should be less than or equal to 8192",
        ),
        ("evaluation_samples: 1e15", "input should be less than or equal to 1000000"),
        ("n_critic: 1000000000", "input should be less than or equal to 1000"),
        ("shuffle_window: 1e15", "input should be less than or equal to 1000000000000"),
        ("latent: {size: " + "9" * 90 + "}", "9999…: input should be less than or equal to 10000"),
        ("seed: 9223372036854775808", "input should be less than 9223372036854775808"),
        ("optimizers: {generator: {learning_rate: .nan}}", "is nan: input should be"),
        ("objective: {r1: .inf}", "`objective.r1` is inf: input should be"),
        ("ema_decay: .nan", "`ema_decay` is nan: input should be"),
        ("objective: {gradient_penalty: 1e300}", "input should be less than or equal to 1000000"),
        ("objective: {gradient_penalty: -1}", "`objective.gradient_penalty` is -1: input should be greater"),
        ("objective: {r1: much}", "`objective.r1` is 'much': input should be a valid number"),
        # Lists of fixed length: what then works.
        (
            "optimizers: {generator: {betas: 0.5}}",
            "betas` is 0.5: give 2 values, for example `betas: [0.5, 0.999]`",
        ),
        (
            "optimizers: {generator: {betas: [0.5]}}",
            "is [0.5]: give 2 values, for example `betas: [0.5, 0.999]`",
        ),
        ("optimizers: {generator: {betas: [0, 0, 0]}}", "is [0, 0, 0]: give 2 values, for example"),
        # What YAML 1.1 took for something else.
        ("architecture: {spectral_norm: yes}", "is 'yes', which YAML reads as text: write true"),
        ("horizontal_flips: off", "is 'off', which YAML reads as text: write false"),
        # Names of a registry.
        ("objective: {name: hing}", "`objective.name` is 'hing': it is one of hinge, least_squares"),
        (
            "architecture: {name: dcgn}",
            "`architecture.name` is 'dcgn': it is one of dcgan, deep_dcgan, dense_dcgan, mlp",
        ),
        ("optimizers: {generator: {name: adamw}}", "name` is 'adamw': it is one of adam, rmsprop, sgd"),
        ("objective: {differentiable_augmentation: [colour]}", "is 'colour': it is one of color, cutout"),
        ("objective: {gradient_penalti: 1}", "did you mean `objective.gradient_penalty`? The keys here are"),
        (
            "gradient_penalty: 10",
            "unknown key `gradient_penalty`, did you mean `objective.gradient_penalty`?",
        ),
        ("objective: {gamma: 10}", "unknown key `objective.gamma`; the keys here are: augmentation_prob"),
    ],
)
def test_a_slip_of_the_pen_is_told_what_would_be_right(folder, addition, expected):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + addition + "\n")
    text = mistakes(folder)
    assert text.startswith(f"{path}:4: ")
    assert expected in text


def test_advice_on_a_list_of_fixed_length_works(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT + "optimizers: {generator: {betas: [0.5, 0.999]}}\n")
    assert mistakes(folder) == ""


def test_of_many_names_the_nearest_or_the_first_are_told():
    known = [f"gan-{number:02}" for number in range(87)]
    assert unknown("no experiment is named", "gan-4", known).endswith(
        "did you mean `gan-84` or `gan-74` or `gan-64`?"
    )
    told = unknown("no experiment is named", "zebra", known)
    assert told.startswith("no experiment is named `zebra`; there are: gan-00, gan-01")
    assert told.endswith("gan-09 and 77 more")


def test_what_is_no_name_is_told_what_a_name_is(folder):
    path = folder / "experiments" / "first.yaml"
    path.write_text(EXPERIMENT.replace("first", "First Run"))
    assert "`name` is 'First Run': a name has small letters, digits" in mistakes(folder)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "evaluation: {samples: 1e15}",
            "`evaluation.samples` is 1000000000000000.0: input should be less than",
        ),
        (
            "max_shard_mb: 1000000000",
            "`max_shard_mb` is 1000000000: input should be less than or equal to 65536",
        ),
        ("limit: 0", "`limit` is 0: input should be greater than or equal to 1"),
    ],
)
def test_numbers_of_a_dataset_have_bounds(folder, given, expected):
    path = folder / "datasets" / "tiny.yaml"
    path.write_text(DATASET + given + "\n")
    assert f"{path}:5: {expected}" in mistakes(folder)


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
        (
            "architecture:\n  minibatch_stddev_group: 4",
            5,
            "which is off: set `minibatch_stddev: true`, or remove it",
        ),
        (
            "architecture:\n  minibatch_stddev: true\n  minibatch_stddev_group: 1",
            6,
            "a group of one image has no spread",
        ),
        (
            "architecture:\n  minibatch_stddev: true\n  minibatch_stddev_group: 5",
            6,
            "groups of 5 do not divide a batch of 64: change minibatch_stddev_group or batch_size",
        ),
        ("generator_batch_factor: 2", 4, "set `fresh_fakes: true`, or remove it"),
        ("n_critic: 5\nn_critic_long: 4", 5, "raise it, or set it to 0"),
        (
            "architecture: {name: resnet, generator_norm: conditional_batch}",
            4,
            "set conditioning.name to `projection` or `acgan`, or generator_norm to `batch`",
        ),
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
        ("stop_on: [few_classes]", 4, "dataset `tiny` has no classes that could be few: set its `classes`"),
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


def test_size_that_the_network_cannot_make(folder):
    (folder / "datasets" / "tiny.yaml").write_text(DATASET.replace("16", "48"))
    text = mistakes(folder)
    assert "makes images of 16, 32, 64, 128, 256 pixels, but dataset `tiny` has image_size 48" in text
