"""A new objective, penalty, architecture or augmentation is one class or function: each is defined here,
named in a YAML file, and trained."""

import math

import pytest
from torch import nn
from torch.nn import functional

from gan_core.config import load_configs
from gan_core.models.architectures import ARCHITECTURES, NetworkPair
from gan_core.objectives import AUGMENTATIONS, OBJECTIVES, PENALTIES, AdversarialLoss, objective_name
from gan_core.objectives.penalties import Judged, Penalty
from gan_core.objectives.penalties.base import score_gradients
from gan_core.registry import register
from gan_core.sampling import load_generator
from gan_core.training import train_gan
from tests.small_configs import text_of

DATASET = """
name: tiny
source: {kind: images}
image_size: 16
channels: 1
classes: [a, b, c]
splits: [train]
"""
EXPERIMENT = """
name: new
dataset: tiny
latent: {size: 6}
batch_size: 8
length: {images: 64}
log_every: 2
evaluation_samples: 64
"""


@pytest.fixture(autouse=True)
def _registries_as_they_were():
    kept = [(registry, dict(registry)) for registry in (ARCHITECTURES, AUGMENTATIONS, OBJECTIVES, PENALTIES)]
    yield
    for registry, entries in kept:
        registry.clear()
        registry.update(entries)


@pytest.fixture
def read(tmp_path):
    """The experiment of a YAML file with this addition, and its dataset; or what is wrong with it."""

    def read(addition: str):
        for kind, name, text in (
            ("datasets", "tiny", DATASET),
            ("experiments", "new", EXPERIMENT + addition),
        ):
            (tmp_path / "configs" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "configs" / kind / f"{name}.yaml").write_text(text)
        configs = load_configs(tmp_path / "configs")
        return configs if not configs.mistakes else text_of(configs)

    return read


@pytest.fixture
def train(read, store, make_shards):
    """Train it from its YAML file; the manifest and the rows of its history."""

    def train(addition: str):
        import pandas

        configs = read(addition)
        assert not isinstance(configs, str), configs
        manifest = train_gan(store, configs.experiment("new"), configs.dataset("tiny"), make_shards(store))
        assert load_generator(store, manifest) is not None
        return manifest, pandas.read_parquet(store.local(manifest, "history.parquet"))

    return train


# --- an objective whose losses compare pairs, with a penalty on generated images --------------------------


def define_ranking() -> None:
    @register(OBJECTIVES, "ranking")
    class Ranking(AdversarialLoss):
        """Hinges of the paired difference."""

        compares_pairs = True

        def d_loss(self, real_scores, fake_scores):
            return functional.relu(1 - (real_scores - fake_scores)).mean()

        def g_loss(self, fake_scores, real_scores=None):
            return functional.relu(1 - (fake_scores - real_scores)).mean()

        def boundary(self, real_scores, fake_scores):
            return (real_scores + fake_scores) / 2

    @register(PENALTIES, "flat_fakes")
    class FlatFakes(Penalty):
        label = "flat"
        factor = 0.5

        @staticmethod
        def measure(judged: Judged):
            return score_gradients(judged.score_as_fake, judged.fake.detach()).square().sum(1).mean()


def test_an_objective_of_pairs_and_a_penalty_on_fakes_from_yaml(train):
    define_ranking()
    manifest, history = train("architecture: {width: 4}\nobjective: {name: ranking, r1: 1, flat_fakes: 1}\n")
    assert {"d_loss", "g_loss", "r1", "flat_fakes"} <= set(history.columns)
    assert history[["d_loss", "g_loss", "flat_fakes"]].notna().all(axis=None)
    assert (history["flat_fakes"] >= 0).all()
    # A pair is right or wrong as a whole.
    assert history["d_real_accuracy"].tolist() == history["d_fake_accuracy"].tolist()
    assert manifest.config["objective"]["flat_fakes"] == 1.0
    assert manifest.config["architecture"]["discriminator_norm"] == "layer"  # the penalty is per image
    assert objective_name(manifest.config["objective"]) == "ranking+r1+flat"


# --- a penalty between real and generated images, and the checks that its flags ask for -------------------


def define_lipschitz() -> None:
    @register(PENALTIES, "lipschitz")
    class Lipschitz(Penalty):
        """One-sided, halfway between the images; it also reads D's scores."""

        label = "lp"
        usual = "5 in no paper"
        bounds_critic = True
        forbids_minibatch = True

        @staticmethod
        def measure(judged: Judged):
            gradients = score_gradients(judged.score_as_real, (judged.real + judged.fake) / 2)
            drift = 1e-3 * (judged.real_scores.square().mean() + judged.fake_scores.square().mean())
            return functional.relu(gradients.norm(dim=1) - 1).square().mean() + drift


def test_a_penalty_that_bounds_a_critic_from_yaml(train):
    define_lipschitz()
    text = "architecture: {width: 4}\nobjective: {name: wasserstein, lipschitz: 5}\nn_critic: 2\n"
    manifest, history = train(text)
    assert history["lipschitz"].notna().all()
    assert objective_name(manifest.config["objective"]) == "wasserstein-lp"


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        (
            "objective: {name: wasserstein}",
            "needs `gradient_penalty` (10 in the paper), `lipschitz` (5 in no paper)",
        ),
        (
            "objective: {name: wasserstein, weight_clip: 0.1, lipschitz: 1}",
            "weight_clip and lipschitz both bound the critic",
        ),
        (
            "objective: {lipschitz: 1}\narchitecture: {minibatch_stddev: true}",
            "lipschitz is taken image by image, but minibatch_stddev mixes the images of a batch",
        ),
        (
            "objective: {lipschitz: 1}\narchitecture: {discriminator_norm: batch}",
            "no meaning through batch norm",
        ),
        ("objective: {lipschitz: -1}", "`objective.lipschitz` is -1: input should be greater"),
        ("objective: {lipshitz: 1}", "did you mean `objective.lipschitz`?"),
        ("lipschitz: 1", "did you mean `objective.lipschitz`?"),
    ],
)
def test_the_flags_of_a_penalty_are_checked(read, addition, expected):
    define_lipschitz()
    assert expected in read(addition + "\n")


def test_the_flags_of_an_objective_are_checked(read):
    @register(OBJECTIVES, "energy")
    class Energy(OBJECTIVES["wasserstein"]):
        smoothable = True

    assert "objective `energy` needs `gradient_penalty`" in read("objective: {name: energy}\n")
    bounded = read("objective: {name: energy, weight_clip: 0.1, label_smoothing: 0.1}\n")
    assert bounded.experiment("new").objective.name == "energy"
    assert "it is one of energy, hinge, least_squares" in read("objective: {name: enrgy}\n")


# --- an architecture --------------------------------------------------------------------------------------


def define_linear() -> None:
    @register(ARCHITECTURES, "linear")
    class Linear(NetworkPair):
        sizes = (16,)
        default_width = 24
        default_norm = "none"
        generator_norms = ("none",)
        has_maps = False

        @staticmethod
        def generator_layers(architecture, inputs, channels, image_size, n_classes):
            image = (channels, image_size, image_size)
            last = nn.Linear(architecture.width, math.prod(image))
            return nn.Linear(inputs, architecture.width), nn.Sequential(last, nn.Unflatten(1, image))

        @staticmethod
        def discriminator_layers(architecture, channels, image_size):
            first = nn.Linear(channels * image_size**2, architecture.discriminator_width)
            return nn.Sequential(nn.Flatten(), first, nn.Tanh()), architecture.discriminator_width


def test_an_architecture_from_yaml(train):
    define_linear()
    manifest, history = train("architecture: {name: linear}\nobjective: {gradient_penalty: 1}\n")
    assert manifest.config["architecture"]["width"] == 24
    assert manifest.config["architecture"]["discriminator_norm"] == "none"
    assert manifest.figures["parameters_generator"] == (6 + 1) * 24 + (24 + 1) * 256
    assert history["g_loss"].notna().all()


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("{name: linear, generator_norm: batch}", "has no generator_norm `batch`; it has: none"),
        ("{name: linear, minibatch_stddev: true}", "adds a map of pixels, which `linear` has not"),
        ("{name: linaer}", "it is one of dcgan, deep_dcgan, dense_dcgan, linear, mlp, resnet, sndcgan"),
    ],
)
def test_what_an_architecture_cannot_do_is_said(read, addition, expected):
    define_linear()
    assert expected in read(f"architecture: {addition}\n")


def test_a_size_that_a_new_architecture_has_not(read, monkeypatch):
    define_linear()
    monkeypatch.setattr(ARCHITECTURES["linear"], "sizes", (32, 64))
    text = read("architecture: {name: linear}\n")
    assert "architecture `linear` makes images of 32, 64 pixels, but dataset `tiny` has image_size 16" in text


# --- an augmentation --------------------------------------------------------------------------------------


def test_an_augmentation_from_yaml(train):
    drawn = []

    @register(AUGMENTATIONS, "fade")
    def fade(images, noise, scale):
        drawn.append(scale)
        return images * noise.uniform(len(images), 1, 1, 1)

    text = "architecture: {width: 4}\nobjective: {differentiable_augmentation: [fade, translation]}\n"
    _, history = train(text)
    assert history["d_loss"].notna().all()
    assert len(drawn) == 3 * 8  # real and generated images for D, generated ones for G, in each of 8 steps
    assert set(drawn) == {1.0}
