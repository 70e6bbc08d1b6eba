"""Initial weights, one-hot classes and latents."""

import math

import pytest
import torch
from torch import nn

from gan_core.models import build_discriminator, build_generator
from gan_core.models.common import draw_latents, initialize, one_hot

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@pytest.mark.parametrize("name", ["dcgan", "deep_dcgan", "dense_dcgan", "resnet", "sndcgan", "mlp"])
def test_orthogonal_weights_are_orthogonal(make_experiment, name):
    experiment = make_experiment(architecture={"name": name, "initialization": "orthogonal"})
    shape = {"channels": 3, "image_size": 64, "n_classes": 0}
    for network in (build_generator(experiment, **shape), build_discriminator(experiment, **shape)):
        layers = [m for m in network.modules() if isinstance(m, LAYERS)]
        assert len(layers) >= 4
        for layer in layers:
            matrix = layer.weight.detach().flatten(1)
            matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=1e-5, atol=1e-5)


def test_xavier_is_uniform_with_glorot_s_bound():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(300, 100), nn.Conv2d(20, 40, 3))
    network[1].xavier_gain = 2.0
    initialize(network, "xavier")
    for layer, bound in ((network[0], math.sqrt(6 / 400)), (network[1], 2 * math.sqrt(6 / (60 * 9)))):
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert layer.bias.abs().max() == 0


def test_residual_convolutions_have_sqrt_2_times_glorot_s_bound(make_experiment):
    torch.manual_seed(0)
    experiment = make_experiment(architecture={"name": "resnet", "width": 16, "initialization": "xavier"})
    discriminator = build_discriminator(experiment, channels=3, image_size=32, n_classes=0)
    block = discriminator.layers[1]
    three, one = block.branch[2], next(m for m in block.shortcut if isinstance(m, nn.Conv2d))
    assert three.weight.abs().max().item() == pytest.approx(math.sqrt(2 * 6 / (9 * 32)), rel=0.02)
    assert one.weight.abs().max().item() == pytest.approx(math.sqrt(6 / 32), rel=0.05)


@pytest.mark.parametrize(("name", "deviation"), [("normal", 0.02), ("orthogonal", 0), ("xavier", 0)])
def test_the_scale_of_batch_norm(name, deviation):
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(4000), nn.BatchNorm1d(4000))
    initialize(network, name)
    for norm in network:
        assert norm.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.002)


def test_one_hot():
    labels = torch.tensor([2, 0, 1])
    actual = one_hot(labels, 4, torch.float32)
    assert torch.equal(actual, nn.functional.one_hot(labels, 4).float())


def test_latents(make_experiment):
    numbers = torch.Generator().manual_seed(0)
    normal = draw_latents(make_experiment(latent={"size": 50}).latent, 2000, numbers)
    uniform = draw_latents(
        make_experiment(latent={"size": 50, "distribution": "uniform"}).latent, 2000, numbers
    )
    assert normal.shape == uniform.shape == (2000, 50)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert uniform.abs().max() <= 1
    assert uniform.std().item() == pytest.approx(3**-0.5, abs=0.01)
