"""DCGAN: initial weights, norms, the class's way in and out, names of the parameters."""

import pytest
import torch
from torch import nn

from gan_core.models import build_discriminator, build_generator


@pytest.mark.parametrize(
    ("norm", "kind", "count"), [("batch", nn.BatchNorm2d, 2), ("layer", nn.GroupNorm, 2), ("none", None, 0)]
)
def test_discriminator_norms(make_experiment, norm, kind, count):
    discriminator = build_discriminator(
        make_experiment(architecture={"width": 4, "discriminator_norm": norm}),
        channels=3,
        image_size=32,
        n_classes=0,
    )
    norms = [m for m in discriminator.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
    assert len(norms) == count
    assert all(isinstance(module, kind) for module in norms)


def test_layer_norm_is_over_channels_and_pixels_of_one_image(make_experiment):
    discriminator = build_discriminator(
        make_experiment(architecture={"width": 4, "discriminator_norm": "layer"}),
        channels=1,
        image_size=16,
        n_classes=0,
    )
    norm = next(m for m in discriminator.modules() if isinstance(m, nn.GroupNorm))
    x = torch.randn(2, norm.num_channels, 5, 5) * 3 + 1
    flat = x.flatten(1)
    expected = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x).flatten(1), expected)


def test_initial_weights_follow_the_paper(make_experiment):
    torch.manual_seed(0)
    shape = {"channels": 3, "image_size": 64, "n_classes": 0}
    wide = make_experiment(architecture={"width": 16}, latent={"size": 100})
    for network in (build_generator(wide, **shape), build_discriminator(wide, **shape)):
        for module in network.modules():
            if (
                isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
                and module.weight.numel() > 3000
            ):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert module.weight.mean().item() == pytest.approx(0, abs=0.002)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.05)
                assert module.bias.abs().max() == 0


def test_acgan_class_goes_in_and_comes_out(make_experiment):
    conditional = make_experiment(conditioning={"name": "acgan"})
    shape = {"channels": 1, "image_size": 16, "n_classes": 5}
    generator = build_generator(conditional, **shape).eval()
    discriminator = build_discriminator(conditional, **shape)
    z = torch.randn(1, 7).repeat(5, 1)
    images = generator(z, torch.arange(5))
    assert all(not torch.equal(images[0], images[label]) for label in range(1, 5))
    output = discriminator(images)
    assert output.class_logits.shape == (5, 5)
    # Logits of a linear head on the shared features: no softmax inside the network.
    torch.testing.assert_close(output.class_logits, discriminator.classify(output.features), rtol=0, atol=0)
    assert not torch.allclose(output.class_logits.sum(1), torch.ones(5))


def test_256_pixels_do_not_widen_without_end(make_experiment):
    generator = build_generator(make_experiment(), channels=3, image_size=256, n_classes=0)
    assert generator.project.out_features == 16 * 4 * 16


def test_default_parameters_are_those_of_earlier_checkpoints(make_experiment):
    experiment = make_experiment(conditioning={"name": "acgan"})
    shape = {"channels": 1, "image_size": 16, "n_classes": 5}
    generator, discriminator = build_generator(experiment, **shape), build_discriminator(experiment, **shape)
    norm = ("weight", "bias")
    assert [name for name, _ in generator.named_parameters()] == [
        "project.weight",
        *(f"layers.1.{part}" for part in norm),
        "layers.3.weight",
        *(f"layers.4.{part}" for part in norm),
        *(f"layers.6.{part}" for part in norm),
    ]
    assert [name for name, _ in discriminator.named_parameters()] == [
        *(f"layers.0.{part}" for part in norm),
        "layers.2.weight",
        *(f"layers.3.{part}" for part in norm),
        *(f"score.{part}" for part in norm),
        *(f"classify.{part}" for part in norm),
    ]
