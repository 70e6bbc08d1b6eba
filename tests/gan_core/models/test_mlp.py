"""The fully connected pair: three hidden layers in each network, norms over units."""

import pytest
import torch
from torch import nn

from gan_core.models import build_discriminator, build_generator

SHAPE = {"channels": 1, "image_size": 8, "n_classes": 0}


def linear_shapes(network):
    return [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Linear)]


def test_layers(make_experiment):
    experiment = make_experiment(architecture={"name": "mlp", "width": 12, "discriminator_width": 10})
    assert linear_shapes(build_generator(experiment, **SHAPE)) == [(12, 7), (12, 12), (12, 12), (64, 12)]
    assert linear_shapes(build_discriminator(experiment, **SHAPE)) == [(10, 64), (10, 10), (10, 10), (1, 10)]


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm1d), ("layer", nn.GroupNorm)])
def test_norms(make_experiment, norm, kind):
    options = {"name": "mlp", "generator_norm": norm, "discriminator_norm": norm}
    experiment = make_experiment(architecture=options)
    generator, discriminator = build_generator(experiment, **SHAPE), build_discriminator(experiment, **SHAPE)
    assert len([m for m in generator.modules() if isinstance(m, kind)]) == 3
    assert len([m for m in discriminator.modules() if isinstance(m, kind)]) == 2


def test_layer_norm_is_over_the_units_of_one_image(make_experiment):
    experiment = make_experiment(architecture={"name": "mlp", "width": 6, "discriminator_norm": "layer"})
    discriminator = build_discriminator(experiment, **SHAPE)
    norm = next(m for m in discriminator.modules() if isinstance(m, nn.GroupNorm))
    x = torch.randn(3, 6) * 2 + 1
    torch.testing.assert_close(norm(x), nn.functional.layer_norm(x, (6,)))
