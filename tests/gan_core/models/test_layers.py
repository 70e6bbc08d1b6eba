"""Dropout, minibatch discrimination, minibatch standard deviation and spectral norm against other code."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gan_core.models import build_discriminator
from gan_core.models.layers import Dropout, MinibatchDiscrimination, MinibatchStddev, normalize_spectrum
from gan_core.training.noise import Noise
from gan_core.training.processes.ranks import Ranks

CPU = torch.device("cpu")


def test_dropout_drops_its_share_and_keeps_the_mean():
    layer = Dropout(0.3)
    layer.draw = Noise(0, CPU, Ranks()).mask
    x = torch.full((100, 1000), 2.0)
    y = layer(x)
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 2 / 0.7))


def test_dropout_draws_from_its_generator_alone():
    layer, x = Dropout(0.5), torch.ones(20, 20)
    noise = Noise(4, CPU, Ranks())
    layer.draw = noise.mask
    state, before = noise.generator.get_state(), torch.get_rng_state()
    first, second = layer(x), layer(x)
    assert torch.equal(torch.get_rng_state(), before)
    noise.generator.set_state(state)
    assert torch.equal(layer(x), first) and torch.equal(layer(x), second)
    assert not torch.equal(first, second)


def test_dropout_without_generator_follows_the_global_seed():
    layer, x = Dropout(0.5), torch.ones(20, 20)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)


def test_dropout_in_eval_mode_is_nothing():
    layer, x = Dropout(0.9).eval(), torch.randn(5, 5)
    assert layer(x) is x


def test_dropout_passes_the_gradient_where_it_keeps():
    layer, x = Dropout(0.5), torch.randn(6, 6, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(x.grad, (y != 0).float() * 2)


@pytest.mark.parametrize("name", ["dcgan", "deep_dcgan", "dense_dcgan", "resnet", "sndcgan", "mlp"])
def test_dropout_follows_every_hidden_activation(make_experiment, name):
    experiment = make_experiment(architecture={"name": name, "width": 2, "dropout": 0.2})
    discriminator = build_discriminator(experiment, channels=1, image_size=64, n_classes=0)
    modules = list(discriminator.modules())
    after = [b for a, b in zip(modules, modules[1:], strict=False) if isinstance(a, nn.ReLU | nn.LeakyReLU)]
    assert len(after) >= 3 and all(isinstance(module, Dropout) and module.p == 0.2 for module in after)


def test_minibatch_discrimination_against_loops_in_numpy():
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(features=6, kernels=4)
    features = torch.randn(5, 6)
    tensor = layer.project.weight.detach().double().numpy().T.reshape(6, 4, 5)
    rows = np.einsum("if,fkc->ikc", features.double().numpy(), tensor)
    expected = np.zeros((5, 4))
    for i in range(5):
        for j in range(5):
            for kernel in range(4):
                expected[i, kernel] += math.exp(-np.abs(rows[i, kernel] - rows[j, kernel]).sum())
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, rtol=1e-5)


def test_minibatch_discrimination_of_equal_images_is_the_batch_size():
    layer = MinibatchDiscrimination(features=6, kernels=4)
    assert torch.equal(layer(torch.ones(5, 6)), torch.full((5, 4), 5.0))


@pytest.mark.parametrize(("count", "group"), [(12, 4), (12, 2), (12, 12), (6, 4)])
def test_minibatch_stddev_of_groups_against_numpy(count, group):
    """Image i is in group i modulo the number of groups, as in the code of Karras et al.; 6 is no 4s."""
    torch.manual_seed(0)
    x = torch.randn(count, 4, 3, 3) * torch.arange(1, count + 1).view(-1, 1, 1, 1)
    y = MinibatchStddev(group)(x)
    groups = count // group if count % group == 0 else 1
    for image in range(count):
        fellows = x[image % groups :: groups].double().numpy()
        expected = np.sqrt(fellows.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(y[image, 4].numpy(), np.full((3, 3), expected), rtol=1e-5)
    assert torch.equal(y[:, :4], x) and len(y[:, 4].unique()) == groups


def test_minibatch_stddev_against_numpy():
    torch.manual_seed(0)
    x = torch.randn(6, 4, 3, 3) * 2 + 1
    y = MinibatchStddev()(x)
    assert y.shape == (6, 5, 3, 3) and torch.equal(y[:, :4], x)
    expected = np.sqrt(x.double().numpy().var(axis=0) + 1e-8).mean()
    np.testing.assert_allclose(y[:, 4].numpy(), np.full((6, 3, 3), expected), rtol=1e-5)


def test_minibatch_stddev_of_equal_images_is_almost_0_with_finite_gradients():
    x = torch.randn(1, 4, 3, 3).repeat(6, 1, 1, 1).requires_grad_()
    y = MinibatchStddev()(x)
    assert y[:, 4].max() < 2e-4
    y.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("name", ["dcgan", "deep_dcgan", "dense_dcgan", "resnet", "sndcgan"])
def test_the_map_of_minibatch_stddev_reaches_the_score(make_experiment, name, norm):
    options = {"minibatch_stddev": True, "discriminator_norm": norm, "initialization": "xavier"}
    experiment = make_experiment(architecture={"name": name, **options})
    torch.manual_seed(0)
    discriminator = build_discriminator(experiment, channels=3, image_size=64, n_classes=0)
    added = torch.zeros((), requires_grad=True)
    last = [m for m in discriminator.modules() if isinstance(m, MinibatchStddev)]
    assert len(last) == 1
    last[0].register_forward_hook(lambda m, args, out: torch.cat([out[:, :-1], out[:, -1:] + added], 1))
    score = discriminator(torch.rand(8, 3, 64, 64)).score
    (slope,) = torch.autograd.grad(score.mean(), added)
    assert slope.abs() > 1e-3


@pytest.mark.parametrize("layer", [nn.Linear(30, 20), nn.Conv2d(5, 12, 3), nn.Linear(4, 50, bias=False)])
def test_spectral_norm_against_svdvals(layer):
    torch.manual_seed(0)
    network = nn.Sequential(layer)
    nn.init.normal_(layer.weight)
    normalize_spectrum(network)
    x = torch.randn(2, 5, 8, 8) if isinstance(layer, nn.Conv2d) else torch.randn(2, layer.in_features)
    original = layer.parametrizations.weight.original
    with torch.no_grad():
        nn.init.normal_(original)
        for _ in range(300):
            network(x)
        expected = original / torch.linalg.svdvals(original.flatten(1).double())[0]
        network.eval()
        torch.testing.assert_close(layer.weight, expected.float(), rtol=1e-4, atol=1e-6)
        singular = torch.linalg.svdvals(layer.weight.flatten(1))
    assert singular[0].item() == pytest.approx(1, abs=1e-4)


def test_spectral_norm_iterates_once_a_forward_in_training_mode_only():
    torch.manual_seed(0)
    layer = nn.Linear(8, 6)
    normalize_spectrum(nn.Sequential(layer))
    x = torch.randn(2, 8)
    with torch.no_grad():
        weight = nn.init.normal_(layer.parametrizations.weight.original)
        u, v = (value.clone() for value in _vectors(layer))
        layer(x)
        u = nn.functional.normalize(weight @ v, dim=0)
        v = nn.functional.normalize(weight.T @ u, dim=0)
        for actual, expected in zip(_vectors(layer), (u, v), strict=True):
            torch.testing.assert_close(actual, expected)
        before = [value.clone() for value in _vectors(layer)]
        layer.eval()(x)
        assert all(torch.equal(a, b) for a, b in zip(_vectors(layer), before, strict=True))


def _vectors(layer):
    values = {name.rpartition(".")[2]: value for name, value in layer.named_buffers()}
    return values["_u"], values["_v"]


@pytest.mark.parametrize("conditioning", ["none", "acgan", "projection"])
@pytest.mark.parametrize("name", ["dcgan", "deep_dcgan", "dense_dcgan", "resnet", "sndcgan", "mlp"])
def test_spectral_norm_is_on_every_weight_of_the_discriminator(make_experiment, name, conditioning):
    options = {"name": name, "width": 2, "spectral_norm": True, "minibatch_discrimination": 3}
    experiment = make_experiment(architecture=options, conditioning={"name": conditioning})
    discriminator = build_discriminator(experiment, channels=3, image_size=64, n_classes=4)
    weights = [name for name, p in discriminator.named_parameters() if p.dim() > 1]
    assert len(weights) >= 4
    assert all(name.endswith("parametrizations.weight.original") for name in weights)


@pytest.mark.slow
def test_a_compiled_discriminator_iterates_too(make_experiment):
    """No break in the graph, and the vectors stay where they are, as a CUDA graph needs."""
    experiment = make_experiment(architecture={"name": "resnet", "spectral_norm": True})
    torch.manual_seed(0)
    discriminator = build_discriminator(experiment, channels=3, image_size=32, n_classes=0)
    compiled = torch.compile(discriminator, backend="aot_eager", fullgraph=True)
    before = {name: (value.data_ptr(), value.clone()) for name, value in discriminator.named_buffers()}
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.add_(torch.randn_like(parameter))
    compiled(torch.randn(2, 3, 32, 32)).score.sum().backward()
    for name, value in discriminator.named_buffers():
        address, old = before[name]
        assert value.data_ptr() == address
        assert not torch.equal(value, old) or value.numel() == 1
