"""The residual networks against the tables of WGAN-GP's and SNGAN's papers."""

import pytest
import torch
from torch import nn

from gan_core.models import build_discriminator, build_generator
from gan_core.models.residual_blocks import GlobalPooling, ResidualBlock

SNGAN = {"name": "resnet", "width": 256, "discriminator_width": 128, "spectral_norm": True}


def block_shapes(network, x):
    """(C, side) after each residual block."""
    seen = []
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(lambda m, args, out: seen.append(tuple(out.shape[1:3])))
    with torch.no_grad():
        network(x)
    return seen


def build_pair(make_experiment, architecture, size):
    experiment = make_experiment(architecture=architecture, latent={"size": 128})
    shape = {"channels": 3, "image_size": size, "n_classes": 0}
    return build_generator(experiment, **shape), build_discriminator(experiment, **shape)


def test_sngan_for_cifar10(make_experiment):
    """Miyato et al. 2018, table 4."""
    generator, discriminator = build_pair(make_experiment, SNGAN, 32)
    assert generator.project.weight.shape == (4 * 4 * 256, 128)
    assert block_shapes(generator, torch.randn(1, 128)) == [(256, 8), (256, 16), (256, 32)]
    shapes = block_shapes(discriminator, torch.randn(1, 3, 32, 32))
    assert shapes == [(128, 16), (128, 8), (128, 8), (128, 8)]
    assert discriminator.score.in_features == 128
    # Weights by hand. G: dense, 3 blocks of two 3x3 and one 1x1 and two norms, norm, 3x3 to the image.
    expected = 4096 * 129 + 3 * (2 * 9 * 256**2 + 256**2 + 4 * 256) + 2 * 256 + 9 * 256 * 3 + 3
    assert count(generator) == expected == 4_276_739 - 3 * 3 * 256
    # D: first block from 3, one that halves with a shortcut, two without one; every layer with its bias.
    two = 2 * (9 * 128**2 + 128)
    first = 9 * 3 * 128 + 128 + 9 * 128**2 + 128 + 3 * 128 + 128
    assert count(discriminator) == first + two + 128**2 + 128 + 2 * two + 128 + 1


def test_wgan_gp_for_cifar10(make_experiment):
    """Gulrajani et al. 2017, appendix: 128 filters everywhere, mean pooling."""
    generator, discriminator = build_pair(make_experiment, {"name": "resnet", "width": 128}, 32)
    assert generator.project.weight.shape == (4 * 4 * 128, 128)
    assert block_shapes(generator, torch.randn(1, 128)) == [(128, 8), (128, 16), (128, 32)]
    shapes = block_shapes(discriminator, torch.randn(1, 3, 32, 32))
    assert shapes == [(128, 16), (128, 8), (128, 8), (128, 8)]
    assert discriminator.score.in_features == 128


def test_sngan_for_128_pixels(make_experiment):
    """Miyato et al. 2018, table 5, at 1/16 of its width (64)."""
    generator, discriminator = build_pair(make_experiment, {"name": "resnet", "width": 4}, 128)
    assert generator.project.weight.shape == (4 * 4 * 64, 128)
    sides = [8, 16, 32, 64, 128]
    expected = list(zip([64, 32, 16, 8, 4], sides, strict=True))
    assert block_shapes(generator, torch.randn(2, 128)) == expected
    shapes = block_shapes(discriminator, torch.randn(2, 3, 128, 128))
    assert shapes == [(4, 64), (8, 32), (16, 16), (32, 8), (64, 4), (64, 4)]


def test_wgan_gp_for_64_pixels(make_experiment):
    """The generator of WGAN-GP's authors for LSUN at 1/16 of its width (64)."""
    generator, discriminator = build_pair(make_experiment, {"name": "resnet", "width": 4}, 64)
    assert generator.project.weight.shape == (4 * 4 * 32, 128)
    assert block_shapes(generator, torch.randn(2, 128)) == [(32, 8), (16, 16), (8, 32), (4, 64)]
    shapes = block_shapes(discriminator, torch.randn(2, 3, 64, 64))
    assert shapes == [(4, 32), (8, 16), (16, 8), (32, 4), (32, 4)]


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("spectral_norm", "kind"), [(True, "sum"), (False, "mean")])
def test_pooling_is_the_sum_with_spectral_norm(make_experiment, spectral_norm, kind):
    options = {"name": "resnet", "spectral_norm": spectral_norm}
    _, discriminator = build_pair(make_experiment, options, 32)
    (pooling,) = [m for m in discriminator.modules() if isinstance(m, GlobalPooling)]
    x = torch.randn(2, 5, 8, 8)
    torch.testing.assert_close(pooling(x), x.sum((2, 3)) if kind == "sum" else x.mean((2, 3)))


def test_the_first_block_has_neither_norm_nor_activation_on_the_image(make_experiment):
    options = {"name": "resnet", "discriminator_norm": "layer"}
    _, discriminator = build_pair(make_experiment, options, 32)
    first, *others = [m for m in discriminator.modules() if isinstance(m, ResidualBlock)]
    assert isinstance(first.branch[0], nn.Conv2d)
    assert not any(isinstance(m, nn.GroupNorm) for m in first.modules())
    for block in others:
        assert [type(m) for m in block.branch[:3]] == [nn.GroupNorm, nn.ReLU, nn.Conv2d]
        assert isinstance(block.branch[3], nn.GroupNorm)


@pytest.mark.parametrize("resample", ["doubling", "halving"])
def test_the_shortcut_commutes_with_resampling(make_experiment, resample):
    """The papers resample before the 1x1 convolution (G) and after it (D): the same, at 4 times the cost."""
    architecture = {"name": "resnet", "generator_norm": "none", "discriminator_norm": "none"}
    generator, discriminator = build_pair(make_experiment, architecture, 32)
    network = generator if resample == "doubling" else discriminator
    block = [m for m in network.modules() if isinstance(m, ResidualBlock)][1]
    x = torch.randn(2, 4, 8, 8)
    other_way = nn.Sequential(*reversed(block.shortcut))
    torch.testing.assert_close(other_way(x), block.shortcut(x))
