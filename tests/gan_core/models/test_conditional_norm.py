"""Batch norm by class: its closed form, the generator around it, and what it asks of a configuration."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from gan_core.models import build_generator
from gan_core.models.conditional_norm import ConditionalBatchNorm2d

N_CLASSES, LATENT = 3, 7


@pytest.fixture
def build(make_experiment):
    def build(norm="conditional_batch", size=32, **architecture):
        experiment = make_experiment(
            architecture={"name": "resnet", "width": 4, "generator_norm": norm, **architecture},
            conditioning={"name": "projection"},
        )
        torch.manual_seed(0)
        return build_generator(experiment, channels=3, image_size=size, n_classes=N_CLASSES)

    return build


def learned(generator: nn.Module) -> nn.Module:
    """The generator with other scales and shifts than at first."""
    numbers = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for norm in generator.modules():
            if isinstance(norm, ConditionalBatchNorm2d):
                norm.scale.add_(torch.randn(norm.scale.shape, generator=numbers) * 0.3)
                norm.shift.add_(torch.randn(norm.shift.shape, generator=numbers) * 0.3)
    return generator


def plain_norm(norm: ConditionalBatchNorm2d, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Image by image: the batch's statistics, the scale and the shift of the image's class."""
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    images = []
    for image, label in zip(x, labels.tolist(), strict=True):
        normal = (image - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        images.append(normal * norm.scale[label][:, None, None] + norm.shift[label][:, None, None])
    return torch.stack(images)


def plain_generator(generator, z, labels):
    """Miyato and Koyama's generator for 32 pixels, resampling before the shortcut's convolution."""
    unflatten, *blocks, norm, _, last = generator.layers
    x = functional.linear(z, generator.project.weight, generator.project.bias).view(len(z), -1, 4, 4)
    assert x.shape == unflatten(generator.project(z)).shape
    for block in blocks:
        first, _, _, conv1, second, _, conv2 = block.branch
        h = torch.relu(plain_norm(first, x, labels)).repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = functional.conv2d(h, conv1.weight, conv1.bias, padding=1)
        h = functional.conv2d(torch.relu(plain_norm(second, h, labels)), conv2.weight, conv2.bias, padding=1)
        wide = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = h + functional.conv2d(wide, block.shortcut[0].weight, block.shortcut[0].bias)
    x = functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
    return torch.tanh(functional.conv2d(torch.relu(x), last.weight, last.bias, padding=1))


def test_the_generator_equals_a_plain_one(build):
    generator = learned(build(initialization="xavier")).double()
    z = torch.randn(6, LATENT, dtype=torch.float64)
    labels = torch.arange(6) % N_CLASSES
    with torch.no_grad():
        found = generator(z, labels)
        torch.testing.assert_close(found, plain_generator(generator, z, labels), rtol=0, atol=1e-9)
    assert found.std() > 0.01


def test_running_statistics_are_of_all_classes():
    norm = ConditionalBatchNorm2d(2, N_CLASSES)
    x = torch.randn(6, 2, 3, 3) * 2 + 1
    norm(x, torch.eye(N_CLASSES).repeat(2, 1))
    torch.testing.assert_close(norm.norm.running_mean, 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.norm.running_var, 0.9 + 0.1 * x.var((0, 2, 3)))
    drawn = norm.eval()(x[:1], torch.eye(N_CLASSES)[:1])
    expected = (x[:1] - norm.norm.running_mean.view(1, 2, 1, 1)) / (
        norm.norm.running_var.view(1, 2, 1, 1) + 1e-5
    ).sqrt()
    torch.testing.assert_close(drawn, expected)


@pytest.mark.parametrize("initialization", ["normal", "orthogonal", "xavier"])
def test_at_first_all_classes_are_alike_and_then_each_has_its_own(build, initialization):
    generator = build(initialization=initialization)
    z = torch.randn(1, LATENT).repeat(N_CLASSES, 1)
    with torch.no_grad():
        first = generator.eval()(z, torch.arange(N_CLASSES))
        images = learned(generator)(z, torch.arange(N_CLASSES))

    def spread(images):
        return (images - images[:1]).abs().amax(dim=(1, 2, 3)) / images.std()

    assert spread(first).max() < 1e-5  # some processors round the rows of a batch differently
    assert spread(images)[1:].min() > 0.01


def test_a_mixture_of_classes_mixes_scales_and_shifts(build):
    norm = ConditionalBatchNorm2d(4, N_CLASSES).eval()
    with torch.no_grad():
        norm.scale.normal_()
        norm.shift.normal_()
    x, half = torch.randn(1, 4, 3, 3), torch.tensor([[0.5, 0.5, 0.0]])
    of_each = [norm(x, row[None]) for row in torch.eye(N_CLASSES)]
    torch.testing.assert_close(norm(x, half), (of_each[0] + of_each[1]) / 2)
    generator = learned(build()).eval()
    z = torch.randn(1, LATENT)
    with torch.no_grad():
        one_hot = generator.of_inputs(torch.cat([z, torch.eye(N_CLASSES)[1:2]], dim=1))
        assert torch.equal(one_hot, generator(z, torch.tensor([1])))
        assert not torch.equal(one_hot, generator.of_inputs(torch.cat([z, half], dim=1)))


def test_the_class_is_in_the_norms_alone(build):
    plain, conditional = build("batch"), build()
    assert plain.project.in_features == LATENT + N_CLASSES
    assert conditional.project.in_features == LATENT
    norms = [module for module in conditional.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert len(norms) == 6 and isinstance(conditional.layers[-3], nn.BatchNorm2d)
    by_class = sum(norm.scale.numel() + norm.shift.numel() for norm in norms)
    assert by_class == 6 * 2 * N_CLASSES * 4
    count = [sum(p.numel() for p in network.parameters()) for network in (plain, conditional)]
    assert count[1] - count[0] == by_class - 6 * 2 * 4 - N_CLASSES * 4 * 16


@pytest.mark.parametrize("size", [32, 64])
def test_a_gradient_reaches_every_scale(build, size):
    generator = build(size=size, initialization="xavier")
    images = generator(torch.randn(6, LATENT), torch.arange(6) % N_CLASSES)
    images.square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-10, name
    for norm in generator.modules():
        if isinstance(norm, ConditionalBatchNorm2d):
            assert (norm.scale.grad.abs().amax(1) > 0).all()


def test_what_it_asks_for_is_said(make_experiment):
    with pytest.raises(ValueError, match="but G has no classes: set conditioning.name"):
        make_experiment(architecture={"name": "resnet", "generator_norm": "conditional_batch"})
    with pytest.raises(ValueError, match="architecture `dcgan` has no generator_norm `conditional_batch`"):
        make_experiment(
            architecture={"generator_norm": "conditional_batch"}, conditioning={"name": "projection"}
        )
