"""Losses against hand-computed formulae; the gradient penalty against a closed form and torch.func."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gan_core.objectives import OBJECTIVES, class_loss, gradient_penalty

REAL, FAKE = [2.0, -1.0, 0.5], [-0.3, 1.5, 4.0]


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def test_non_saturating():
    losses = OBJECTIVES["non_saturating"]
    d_loss = -np.mean([math.log(sigmoid(s)) for s in REAL]) - np.mean(
        [math.log(1 - sigmoid(s)) for s in FAKE]
    )
    g_loss = -np.mean([math.log(sigmoid(s)) for s in FAKE])
    assert losses.d_loss(torch.tensor(REAL), torch.tensor(FAKE)).item() == pytest.approx(d_loss, rel=1e-6)
    assert losses.g_loss(torch.tensor(FAKE)).item() == pytest.approx(g_loss, rel=1e-6)


def test_non_saturating_is_finite_for_a_certain_discriminator():
    losses = OBJECTIVES["non_saturating"]
    assert losses.g_loss(torch.tensor([-1e4])).item() == pytest.approx(1e4)
    assert losses.d_loss(torch.tensor([1e4]), torch.tensor([-1e4])).item() == 0


def test_wasserstein():
    losses = OBJECTIVES["wasserstein"]
    assert losses.d_loss(torch.tensor(REAL), torch.tensor(FAKE)).item() == pytest.approx(5.2 / 3 - 0.5)
    assert losses.g_loss(torch.tensor(FAKE)).item() == pytest.approx(-5.2 / 3)


@pytest.mark.parametrize("norm", [0.0, 1.0, 3.5])
def test_penalty_of_a_linear_critic(norm):
    weight = torch.randn(3, 4, 4)
    weight = weight / weight.norm() * norm
    real, fake = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    penalty = gradient_penalty(lambda x: (x * weight).sum((1, 2, 3)), real, fake, torch.Generator())
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_penalty_against_per_image_gradients():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 9, 1))
    real, fake = torch.randn(5, 2, 5, 5), torch.randn(5, 2, 5, 5)
    penalty = gradient_penalty(lambda x: critic(x).squeeze(1), real, fake, torch.Generator().manual_seed(3))

    share = torch.rand((5, 1, 1, 1), generator=torch.Generator().manual_seed(3))
    points = share * real + (1 - share) * fake
    gradients = torch.func.vmap(torch.func.grad(lambda x: critic(x[None]).squeeze()))(points)
    expected = ((gradients.reshape(5, -1).norm(dim=1) - 1) ** 2).mean()
    torch.testing.assert_close(penalty, expected, rtol=1e-5, atol=1e-6)


def test_penalty_trains_the_critic():
    weight = nn.Parameter(torch.full((4,), 1.0))  # norm 2: d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w| = w
    images = torch.randn(3, 1, 2, 2)
    penalty = gradient_penalty(
        lambda x: x.flatten(1) @ weight, images, torch.randn(3, 1, 2, 2), torch.Generator()
    )
    penalty.backward()
    torch.testing.assert_close(weight.grad, torch.ones(4))


def test_penalty_is_fp32_under_autocast():
    seen = []

    def critic(x):
        scores = nn.functional.linear(x.flatten(1), torch.ones(1, 4)).squeeze(1)
        seen.append(scores.dtype)
        return scores

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nn.functional.linear(torch.ones(1, 4), torch.ones(1, 4)).dtype == torch.bfloat16
        images = torch.randn(3, 1, 2, 2).bfloat16()
        penalty = gradient_penalty(critic, images, images, torch.Generator())
    assert seen == [torch.float32]
    assert penalty.dtype == torch.float32


def test_class_loss_has_one_softmax():
    logits = np.array([[2.0, -1.0, 0.3], [0.1, 0.2, 5.0]])
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(log_softmax[0, 0] + log_softmax[1, 1]) / 2
    loss = class_loss(torch.tensor(logits, dtype=torch.float32), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)
