"""What every architecture must do: shapes, options, conditioning, gradients, an exact state."""

import pytest
import torch
from torch import nn

from gan_core.errors import ConfigError, GanError
from gan_core.models import ARCHITECTURES, build_discriminator, build_generator

SMALLEST = {name: min(pair.sizes) for name, pair in ARCHITECTURES.items()}
OPTIONS = {
    "plain": {"discriminator_norm": "none"},
    "layer_norm": {"discriminator_norm": "layer", "generator_norm": "layer"},
    "batch_norm": {"discriminator_norm": "batch", "generator_norm": "batch"},
    "no_norm_in_generator": {"generator_norm": "none"},
    "spectral_norm": {"spectral_norm": True},
    "dropout": {"dropout": 0.3},
    "minibatch_discrimination": {"minibatch_discrimination": 3},
    "minibatch_stddev": {"minibatch_stddev": True},
    "minibatch_stddev_without_norm": {"minibatch_stddev": True, "discriminator_norm": "none"},
}
CASES = [
    (name, option)
    for name in ARCHITECTURES
    for option in OPTIONS
    if ARCHITECTURES[name].has_maps or "stddev" not in option
]


@pytest.fixture
def pair(make_experiment):
    """Build both networks of an architecture with some options at its smallest size, 3 classes, seed 0."""

    def build(name, options=None, *, channels=3, seed=0, **sections):
        experiment = make_experiment(architecture={"name": name, **(options or {})}, **sections)
        shape = {"channels": channels, "image_size": SMALLEST[name], "n_classes": 3}
        torch.manual_seed(seed)
        return build_generator(experiment, **shape), build_discriminator(experiment, **shape)

    return build


def images_of(name, count=4, channels=3):
    side = SMALLEST[name]
    numbers = torch.Generator().manual_seed(5)
    return torch.rand((count, channels, side, side), generator=numbers) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name, pair in ARCHITECTURES.items() for size in pair.sizes]
)
def test_shapes_and_range_at_every_size(make_experiment, name, size, channels):
    experiment = make_experiment(architecture={"name": name, "width": 2})
    shape = {"channels": channels, "image_size": size, "n_classes": 0}
    images = build_generator(experiment, **shape)(torch.randn(3, 7) * 100)
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    output = build_discriminator(experiment, **shape)(images)
    assert output.score.shape == (3,) and output.class_logits is None
    assert output.features.dim() == 2 and len(output.features) == 3


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_wrong_size_is_one_clear_error(make_experiment, name):
    for build in (build_generator, build_discriminator):
        with pytest.raises(ConfigError, match="pixels, not of 48: change the dataset's image_size"):
            build(make_experiment(architecture={"name": name}), channels=3, image_size=48, n_classes=0)


@pytest.mark.parametrize(("name", "option"), CASES)
def test_a_gradient_reaches_every_parameter(pair, name, option):
    generator, discriminator = pair(name, {**OPTIONS[option], "initialization": "xavier"})
    output = discriminator(generator(torch.randn(4, 7)))
    # Squares: the sum of a batch-normed map has no gradient.
    (output.score.square().sum() + output.score.sum()).backward()
    for network in (generator, discriminator):
        for parameter_name, parameter in network.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name
            assert parameter.grad.abs().max() > 1e-10, parameter_name


@pytest.mark.parametrize("conditioning", ["none", "projection"])
@pytest.mark.parametrize(("name", "option"), [c for c in CASES if c[1] != "batch_norm"])
def test_the_norm_of_the_input_s_gradient_can_be_minimised(pair, name, option, conditioning):
    """Double backward, against a difference quotient along the direction of the gradient."""
    _, discriminator = pair(
        name, {**OPTIONS[option], "initialization": "xavier"}, conditioning={"name": conditioning}
    )
    discriminator.double().eval()
    images, labels = images_of(name).double().requires_grad_(), torch.arange(4) % 3

    def penalty():
        score = discriminator(images, labels).score
        (gradient,) = torch.autograd.grad(score.sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in discriminator.parameters())
    # The gradient of a network of (leaky) ReLU does not depend on every bias, but on each layer's weight.
    weights = [p for p in discriminator.parameters() if p.dim() > 1 and p.grad is not None]
    slope = sum(p.grad.square().sum() for p in weights)
    assert slope > 0
    step, values = 1e-7 / slope.sqrt(), []
    for sign in (1, -1):
        with torch.no_grad():
            for p in weights:
                p += sign * step * p.grad
        values.append(penalty().item())
        with torch.no_grad():
            for p in weights:
                p -= sign * step * p.grad
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope.item(), rel=1e-3)


@pytest.mark.parametrize("option", ["plain", "layer_norm", "spectral_norm", "dropout"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_double_backward_in_training_mode(pair, name, option):
    """As WGAN-GP's step: three calls of D, the third one differentiated twice, then one backward."""
    _, discriminator = pair(name, OPTIONS[option])
    images = images_of(name).requires_grad_()
    real, fake = discriminator(images).score, discriminator(-images.detach()).score
    (gradient,) = torch.autograd.grad(discriminator(images).score.sum(), images, create_graph=True)
    (fake.mean() - real.mean() + (gradient.flatten(1).norm(dim=1) - 1).square().mean()).backward()
    for parameter_name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize(("name", "option"), CASES)
def test_a_loaded_state_continues_with_the_same_bits(pair, name, option):
    networks, others = pair(name, OPTIONS[option]), pair(name, OPTIONS[option], seed=1)
    for network, other, x in zip(networks, others, (torch.randn(4, 7), images_of(name)), strict=True):
        for module in (network, other):
            module.to(memory_format=torch.channels_last)
        with torch.no_grad():
            network(x)  # moves statistics and power iterations
            other.load_state_dict(network.state_dict())
            for _ in range(2):
                torch.manual_seed(3)  # dropout's masks
                expected = network(x)
                torch.manual_seed(3)
                actual = other(x)
                for a, b in zip(_tensors(expected), _tensors(actual), strict=True):
                    assert torch.equal(a, b)


def _tensors(output):
    return [output] if isinstance(output, torch.Tensor) else [output.score, output.features]


@pytest.mark.parametrize("initialization", ["normal", "orthogonal", "xavier"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_seed_decides_the_weights(pair, name, initialization):
    options = {"initialization": initialization, "spectral_norm": True}
    first, again, other = (pair(name, options, seed=seed) for seed in (0, 0, 1))
    for network, same, different in zip(first, again, other, strict=True):
        assert all(torch.equal(a, b) for a, b in _pairs(network, same))
        assert any(not torch.equal(a, b) for a, b in _pairs(network, different))


def _pairs(network, other):
    return zip(network.state_dict().values(), other.state_dict().values(), strict=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_network_has_its_own_width(pair, name):
    generator, discriminator = pair(name, {"discriminator_width": 6})
    same_generator, narrow = pair(name)
    assert _count(generator) == _count(same_generator)
    assert _count(discriminator) > _count(narrow)


def _count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sigmoid_draws_between_0_and_1(pair, name):
    tanh, _ = pair(name)
    sigmoid, _ = pair(name, output={"activation": "sigmoid"})
    z = torch.randn(4, 7) * 10
    images = sigmoid.double()(z.double())
    assert images.min() > 0 and images.max() < 1
    # The same weights, so the same numbers before the activation.
    torch.testing.assert_close(images.logit(), tanh.double()(z.double()).atanh())


@pytest.mark.parametrize("conditioning", ["acgan", "projection"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_class_changes_the_generator_s_image(pair, name, conditioning):
    generator, _ = pair(name, {"initialization": "xavier"}, conditioning={"name": conditioning})
    images = generator.eval()(torch.randn(1, 7).repeat(3, 1), torch.arange(3))
    assert not torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])
    with pytest.raises(GanError, match="generator of 3 classes was called without labels"):
        generator(torch.randn(1, 7))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_projection_is_its_closed_form(pair, name):
    """Miyato and Koyama 2018, equation 3: the score is linear(features) + <V[class], features>."""
    _, discriminator = pair(name, {"initialization": "xavier"}, conditioning={"name": "projection"})
    labels = torch.tensor([2, 0, 1, 2])
    output = discriminator.eval()(images_of(name), labels)
    features, weights = output.features.double(), discriminator.embed.weight.double()
    expected = [
        features[i] @ discriminator.score.weight[0].double()
        + discriminator.score.bias[0].double()
        + features[i] @ weights[:, label]
        for i, label in enumerate(labels.tolist())
    ]
    torch.testing.assert_close(output.score.double(), torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert output.class_logits is None
    with pytest.raises(GanError, match="projection of 3 classes was called without labels"):
        discriminator(images_of(name))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_acgan_has_a_linear_head_of_logits(pair, name):
    _, discriminator = pair(name, {"initialization": "xavier"}, conditioning={"name": "acgan"})
    output = discriminator(images_of(name))
    assert output.class_logits.shape == (4, 3)
    assert torch.equal(output.class_logits, discriminator.classify(output.features))


def test_all_heads_read_the_minibatch_discrimination(pair):
    options = {"minibatch_discrimination": 6}
    for conditioning, head in (("acgan", "classify"), ("projection", "embed")):
        _, discriminator = pair("dcgan", options, conditioning={"name": conditioning})
        output = discriminator(images_of("dcgan"), torch.arange(4) % 3)
        width = output.features.shape[1] + 6
        weight = getattr(discriminator, head).weight
        assert width in weight.shape and discriminator.score.weight.shape == (1, width)


@pytest.mark.parametrize("conditioning", ["acgan", "projection"])
def test_a_condition_without_classes_is_one_clear_error(make_experiment, conditioning):
    for build in (build_generator, build_discriminator):
        with pytest.raises(ConfigError, match="`e`: conditioning `.*` needs classes, but dataset `d`"):
            build(
                make_experiment(conditioning={"name": conditioning}), channels=3, image_size=16, n_classes=0
            )


@pytest.mark.parametrize(("name", "option"), CASES)
def test_only_minibatch_layers_and_batch_norm_mix_images(pair, name, option):
    _, discriminator = pair(name, {"discriminator_norm": "layer", **OPTIONS[option], "dropout": 0.0})
    first = images_of(name)
    second = torch.cat([first[:1], -first[1:]])
    with torch.no_grad():
        for module in discriminator.modules():
            if hasattr(module, "parametrizations"):
                module.eval()  # the power iteration goes on between two calls in training mode
            for part in getattr(module, "parametrizations", {}).values():
                part.eval()
        scores = [discriminator(images).score[0] for images in (first, second)]
    mixes = "minibatch" in option or option == "batch_norm"
    assert (abs(scores[0] - scores[1]) > 1e-9 * abs(scores[0])).item() == mixes


@pytest.mark.parametrize("name", ["dcgan", "deep_dcgan", "dense_dcgan", "resnet", "sndcgan"])
def test_discriminators_keep_channels_last(pair, name):
    _, discriminator = pair(name, {"minibatch_stddev": True, "dropout": 0.2})
    seen = []
    for module in discriminator.layers.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    discriminator.to(memory_format=torch.channels_last)
    discriminator(images_of(name).contiguous(memory_format=torch.channels_last))
    assert len(seen) >= 2
    for before, after in seen:
        assert before.is_contiguous(memory_format=torch.channels_last)
        assert after.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_autocast_keeps_the_power_iteration_in_full_precision(pair, name):
    _, discriminator = pair(name, {"spectral_norm": True, "minibatch_discrimination": 2, "dropout": 0.2})
    seen = []
    for module in discriminator.modules():
        if hasattr(module, "_u"):
            module.register_forward_hook(
                lambda m, args, out: seen.append((torch.is_autocast_enabled("cpu"), out.dtype))
            )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        discriminator(images_of(name)).score.float().sum().backward()
    assert len(seen) >= 4 and set(seen) == {(False, torch.float32)}
