"""The classroom network: the numbers of the coursework."""

import torch
from torch import nn

from gan_core.models import build_discriminator, build_generator

SHAPE = {"channels": 3, "image_size": 64, "n_classes": 0}


def shapes_after(network, kinds, x):
    seen = []
    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda m, args, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network(x)
    return seen


def test_the_generator_of_the_coursework(make_experiment):
    experiment = make_experiment(architecture={"name": "dense_dcgan", "width": 32}, latent={"size": 100})
    generator = build_generator(experiment, **SHAPE)
    assert generator.project.out_features == 16_384
    shapes = shapes_after(generator, nn.Unflatten | nn.ConvTranspose2d | nn.Conv2d, torch.randn(2, 100))
    assert shapes == [(256, 8, 8), (128, 16, 16), (64, 32, 32), (32, 64, 64), (3, 64, 64)]
    kinds = [type(module) for module in generator.layers]
    hidden = [nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [nn.Unflatten, *hidden, *[nn.ConvTranspose2d, *hidden] * 3, nn.Conv2d]


def test_the_discriminator_of_the_coursework(make_experiment):
    experiment = make_experiment(architecture={"name": "dense_dcgan", "width": 32})
    discriminator = build_discriminator(experiment, **SHAPE)
    shapes = shapes_after(discriminator, nn.Conv2d | nn.Flatten, torch.randn(2, 3, 64, 64))
    assert shapes == [(32, 32, 32), (128, 16, 16), (256, 8, 8), (16_384,)]
    assert discriminator.score.weight.shape == (1, 16_384)
