"""SNGAN's convolutional networks against its table and its authors' code, layer by layer."""

import pytest
import torch

from gan_core.models import build_discriminator, build_generator
from tests.gan_core.models.plain_networks import (
    LINEAR,
    PlainSNDCGANCritic,
    PlainSNDCGANGenerator,
    take_over,
)

# pytorch-gan-collections' `cnn32`, with z of 100; a layer's weights and its biases.
GENERATOR = [
    ("dense", 100 * 4 * 4 * 512, 4 * 4 * 512),
    ("4x4 deconvolution", 512 * 256 * 16, 256),
    ("4x4 deconvolution", 256 * 128 * 16, 128),
    ("4x4 deconvolution", 128 * 64 * 16, 64),
    ("3x3 convolution", 64 * 3 * 9, 3),
]
NORMS = 2 * (512 + 256 + 128 + 64)
DISCRIMINATOR = [
    ("3x3", 3 * 64 * 9, 64),
    ("4x4", 64 * 128 * 16, 128),
    ("3x3", 128 * 128 * 9, 128),
    ("4x4", 128 * 256 * 16, 256),
    ("3x3", 256 * 256 * 9, 256),
    ("4x4", 256 * 512 * 16, 512),
    ("3x3", 512 * 512 * 9, 512),
    ("dense", 4 * 4 * 512, 1),
]


@pytest.fixture
def pair(make_experiment):
    def build(size=32, z=100, **options):
        architecture = {"name": "sndcgan", "width": 64, "spectral_norm": True, **options}
        experiment = make_experiment(architecture=architecture, latent={"size": z})
        shape = {"channels": 3, "image_size": size, "n_classes": 0}
        torch.manual_seed(0)
        return build_generator(experiment, **shape), build_discriminator(experiment, **shape)

    return build


def weights_and_biases(network):
    layers = [module for module in network.modules() if isinstance(module, LINEAR)]
    return [(layer.weight.numel(), 0 if layer.bias is None else layer.bias.numel()) for layer in layers]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_generator_has_the_table_s_parameters(pair):
    generator, _ = pair()
    found = weights_and_biases(generator)
    assert [weights for weights, _ in found] == [weights for _, weights, _ in GENERATOR]
    # Batch norm takes away what a convolution's bias before it adds: ours has none there. The dense layer's
    # is another at each pixel, and stays.
    assert [biases for _, biases in found] == [8192, 0, 0, 0, 3]
    of_table = sum(weights + biases for _, weights, biases in GENERATOR) + NORMS
    left_out = sum(biases for _, _, biases in GENERATOR[1:-1])
    assert of_table == count(PlainSNDCGANGenerator(100)) == 3_584_003
    assert count(generator) == of_table - left_out == 3_583_555


def test_the_discriminator_has_its_authors_parameters(pair):
    _, discriminator = pair()
    assert weights_and_biases(discriminator) == [(weights, biases) for _, weights, biases in DISCRIMINATOR]
    expected = sum(weights + biases for _, weights, biases in DISCRIMINATOR)
    assert count(discriminator) == expected == count(PlainSNDCGANCritic()) == 5_860_865


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("spectral_norm", [True, False])
def test_both_networks_equal_plain_ones(pair, size, spectral_norm):
    options = {"width": 8, "spectral_norm": spectral_norm, "discriminator_norm": "none"}
    generator, discriminator = (network.double() for network in pair(size, 10, **options))
    plain_generator = take_over(PlainSNDCGANGenerator(10, 8, size // 8).double(), generator)
    plain_critic = PlainSNDCGANCritic(8, size // 8, spectral=spectral_norm).double()
    take_over(plain_critic, discriminator)
    z = torch.randn(6, 10, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(2):  # statistics and power iterations go on alike
            images = generator(z)
            torch.testing.assert_close(images, plain_generator(z), rtol=0, atol=1e-12)
            scores = discriminator(images).score
            torch.testing.assert_close(scores, plain_critic(images), rtol=1e-10, atol=1e-12)
    assert scores.std() > 0


@pytest.mark.parametrize(("norm", "biases"), [("batch", 0), ("layer", 0), ("none", 1)])
def test_a_norm_follows_every_convolution_but_the_first(pair, norm, biases):
    _, discriminator = pair(width=4, spectral_norm=False, discriminator_norm=norm)
    kinds = [type(module).__name__ for module in discriminator.layers]
    name = {"batch": "BatchNorm2d", "layer": "GroupNorm", "none": "Identity"}[norm]
    assert kinds == ["Conv2d", "LeakyReLU", *["Conv2d", name, "LeakyReLU"] * 6, "Flatten"]
    assert all(bool(found) == bool(biases) for _, found in weights_and_biases(discriminator)[1:-1])
