"""The DCGAN of pytorch-gan-collections for CIFAR-10, layer by layer and number by number."""

import pytest
import torch

from gan_core.models import build_discriminator, build_generator
from tests.gan_core.models.plain_networks import (
    LINEAR,
    PlainDeepDCGANDiscriminator,
    PlainDeepDCGANGenerator,
    take_over,
)

# A layer's weights, and the filters that its norm has a scale and a shift for.
GENERATOR = [
    (100 * 1024 * 2 * 2, 1024),
    (1024 * 512 * 16, 512),
    (512 * 256 * 16, 256),
    (256 * 128 * 16, 128),
    (128 * 3 * 16, 0),
]
DISCRIMINATOR = [(3 * 64 * 25, 0), (64 * 128 * 25, 128), (128 * 256 * 25, 256), (256 * 512 * 25, 512)]


@pytest.fixture
def pair(make_experiment):
    def build(size=32, z=100, width=64):
        experiment = make_experiment(architecture={"name": "deep_dcgan", "width": width}, latent={"size": z})
        shape = {"channels": 3, "image_size": size, "n_classes": 0}
        torch.manual_seed(0)
        return build_generator(experiment, **shape), build_discriminator(experiment, **shape)

    return build


def weights(network):
    return [module.weight.numel() for module in network.modules() if isinstance(module, LINEAR)]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_generator_has_11_43_million_parameters(pair):
    generator, _ = pair()
    assert weights(generator) == [layer for layer, _ in GENERATOR]
    expected = sum(layer + 2 * normed for layer, normed in GENERATOR)
    assert count(generator) == expected == count(PlainDeepDCGANGenerator(100)) == 11_429_632


def test_the_discriminator_has_4_31_million_parameters(pair):
    _, discriminator = pair()
    dense = 2 * 2 * 512
    assert weights(discriminator) == [*(layer for layer, _ in DISCRIMINATOR), dense]
    expected = sum(layer + 2 * normed for layer, normed in DISCRIMINATOR) + dense + 1
    assert count(discriminator) == expected == count(PlainDeepDCGANDiscriminator()) == 4_309_441


def test_both_networks_equal_plain_ones(pair):
    generator, discriminator = (network.double() for network in pair(z=10, width=8))
    plain_generator = take_over(PlainDeepDCGANGenerator(10, 8).double(), generator)
    plain_discriminator = take_over(PlainDeepDCGANDiscriminator(8).double(), discriminator)
    z = torch.randn(6, 10, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(2):  # statistics go on alike
            images = generator(z)
            torch.testing.assert_close(images, plain_generator(z), rtol=0, atol=1e-12)
            scores = discriminator(images).score
            torch.testing.assert_close(scores, plain_discriminator(images), rtol=1e-10, atol=1e-12)
        for network, plain, x in (
            (generator, plain_generator, z),
            (discriminator, plain_discriminator, images),
        ):
            found, expected = network.eval()(x), plain.eval()(x)
            found = found if network is generator else found.score
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_64_pixels_begin_at_4(pair):
    generator, _ = pair(size=64, width=2)
    assert generator.project.out_features == 4 * 4 * 32
