"""Losses against hand-computed formulae; the gradient penalty against a closed form and torch.func."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gan_core.config import Objective
from gan_core.objectives import (
    OBJECTIVES,
    PENALTIES,
    build_objective,
    class_loss,
    clip_weights,
    objective_name,
)
from gan_core.objectives.penalties.base import squared_gradients
from gan_core.objectives.penalties.gradient_penalty import gradient_penalty

REAL, FAKE = [2.0, -1.0, 0.5], [-0.3, 1.5, 4.0]


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def losses_of(**values):
    return build_objective(Objective.model_construct(**Objective().model_dump() | values))


def bce(score: float, target: float) -> float:
    return -target * math.log(sigmoid(score)) - (1 - target) * math.log(1 - sigmoid(score))


EXPECTED = {
    "minimax": (
        np.mean([bce(s, 1) for s in REAL]) + np.mean([bce(s, 0) for s in FAKE]),
        np.mean([math.log(1 - sigmoid(s)) for s in FAKE]),
    ),
    "non_saturating": (
        np.mean([bce(s, 1) for s in REAL]) + np.mean([bce(s, 0) for s in FAKE]),
        np.mean([bce(s, 1) for s in FAKE]),
    ),
    "least_squares": (
        np.mean([(s - 1) ** 2 for s in REAL]) / 2 + np.mean([s**2 for s in FAKE]) / 2,
        np.mean([(s - 1) ** 2 for s in FAKE]) / 2,
    ),
    "hinge": (
        np.mean([max(0, 1 - s) for s in REAL]) + np.mean([max(0, 1 + s) for s in FAKE]),
        -np.mean(FAKE),
    ),
    "wasserstein": (np.mean(FAKE) - np.mean(REAL), -np.mean(FAKE)),
    "relativistic": (
        np.mean([bce(r - f, 1) for r, f in zip(REAL, FAKE, strict=True)]),
        np.mean([bce(f - r, 1) for r, f in zip(REAL, FAKE, strict=True)]),
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_against_their_formulae(name):
    losses = losses_of(name=name)
    d_loss, g_loss = EXPECTED[name]
    assert losses.d_loss(torch.tensor(REAL), torch.tensor(FAKE)).item() == pytest.approx(d_loss, rel=1e-6)
    real = torch.tensor(REAL) if losses.compares_pairs else None
    assert losses.g_loss(torch.tensor(FAKE), real).item() == pytest.approx(g_loss, rel=1e-6)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_label_smoothing_is_one_sided(name):
    losses = losses_of(name=name, label_smoothing=0.1)
    expected = np.mean([bce(s, 0.9) for s in REAL]) + np.mean([bce(s, 0) for s in FAKE])
    assert losses.d_loss(torch.tensor(REAL), torch.tensor(FAKE)).item() == pytest.approx(expected, rel=1e-6)
    # D's best answer to a real image is then the target itself.
    score = torch.tensor(math.log(0.9 / 0.1), requires_grad=True)
    losses.d_loss(score.view(1), torch.tensor([0.0])).backward()
    assert score.grad.item() == pytest.approx(0, abs=1e-6)


def test_label_smoothing_of_least_squares():
    losses = losses_of(name="least_squares", label_smoothing=0.1)
    expected = np.mean([(s - 0.9) ** 2 for s in REAL]) / 2 + np.mean([s**2 for s in FAKE]) / 2
    assert losses.d_loss(torch.tensor(REAL), torch.tensor(FAKE)).item() == pytest.approx(expected, rel=1e-6)
    assert losses.g_loss(torch.tensor([1.0])).item() == 0


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_losses_are_finite_for_a_certain_discriminator(name):
    losses = losses_of(name=name)
    expected = {"non_saturating": 1e4, "minimax": 0.0}
    assert losses.g_loss(torch.tensor([-1e4])).item() == pytest.approx(expected[name])
    assert losses.d_loss(torch.tensor([1e4]), torch.tensor([-1e4])).item() == 0


def test_a_relativistic_pair_is_judged_by_its_difference():
    losses = losses_of(name="relativistic")
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    assert (real > losses.boundary(real, fake)).tolist() == [True, False, False]
    assert (fake < losses.boundary(real, fake)).tolist() == [True, False, False]
    shifted = losses.d_loss(real + 7, fake + 7), losses.g_loss(fake + 7, real + 7)
    torch.testing.assert_close(shifted, (losses.d_loss(real, fake), losses.g_loss(fake, real)))
    assert losses.d_loss(torch.tensor([-1e4]), torch.tensor([1e4])).item() == 2e4


def test_minimax_gradient_vanishes_where_the_discriminator_wins():
    gradients = {}
    for name in ("minimax", "non_saturating"):
        score = torch.tensor([-20.0], requires_grad=True)
        losses_of(name=name).g_loss(score).backward()
        gradients[name] = abs(score.grad.item())
    assert gradients["minimax"] < 1e-8
    assert gradients["non_saturating"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "boundary"),
    [("minimax", 0), ("non_saturating", 0), ("least_squares", 0.5), ("hinge", 0), ("wasserstein", 1.1166667)],
)
def test_boundary(name, boundary):
    found = losses_of(name=name).boundary(torch.tensor(REAL), torch.tensor(FAKE))
    assert float(found) == pytest.approx(boundary)


@pytest.mark.parametrize("norm", [0.0, 1.0, 3.5])
def test_penalty_of_a_linear_critic(norm):
    weight = torch.randn(3, 4, 4)
    weight = weight / weight.norm() * norm
    real, fake = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    penalty = gradient_penalty(lambda x: (x * weight).sum((1, 2, 3)), real, fake, torch.rand(6))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_penalty_against_per_image_gradients():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 9, 1))
    real, fake = torch.randn(5, 2, 5, 5), torch.randn(5, 2, 5, 5)
    between = torch.rand(5)
    penalty = gradient_penalty(lambda x: critic(x).squeeze(1), real, fake, between)

    share = between.view(5, 1, 1, 1)
    points = share * real + (1 - share) * fake
    gradients = torch.func.vmap(torch.func.grad(lambda x: critic(x[None]).squeeze()))(points)
    expected = ((gradients.reshape(5, -1).norm(dim=1) - 1) ** 2).mean()
    torch.testing.assert_close(penalty, expected, rtol=1e-5, atol=1e-6)


def test_penalty_trains_the_critic():
    weight = nn.Parameter(torch.full((4,), 1.0))  # norm 2: d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w| = w
    images = torch.randn(3, 1, 2, 2)
    penalty = gradient_penalty(
        lambda x: x.flatten(1) @ weight, images, torch.randn(3, 1, 2, 2), torch.rand(3)
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
        penalty = gradient_penalty(critic, images, images, torch.rand(3))
    assert seen == [torch.float32]
    assert penalty.dtype == torch.float32


def test_class_loss_has_one_softmax():
    logits = np.array([[2.0, -1.0, 0.3], [0.1, 0.2, 5.0]])
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(log_softmax[0, 0] + log_softmax[1, 1]) / 2
    loss = class_loss(torch.tensor(logits, dtype=torch.float32), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_penalty_of_a_flat_critic_has_a_finite_gradient():
    weight = nn.Parameter(torch.zeros(4))
    images = torch.randn(3, 1, 2, 2)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ weight, images, images, torch.rand(3))
    penalty.backward()
    assert penalty.item() == 1
    assert weight.grad.isfinite().all()


def test_r1_against_a_closed_form_and_per_image_gradients():
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5]))
    real = torch.randn(6, 1, 2, 2)
    penalty = squared_gradients(lambda x: x.flatten(1) @ weight, real)
    assert penalty.item() == pytest.approx(14.25)  # |w|^2
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * weight.detach())

    critic = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(3, 1))
    gradients = torch.func.vmap(torch.func.grad(lambda x: critic(x[None]).squeeze()))(real)
    expected = gradients.flatten(1).square().sum(1).mean()
    torch.testing.assert_close(squared_gradients(lambda x: critic(x).squeeze(1), real), expected)


def test_clipping_is_numpy_clip():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    before = [weight.detach().numpy().copy() for weight in network.parameters()]
    clip_weights(network.parameters(), 0.1)
    for weight, old in zip(network.parameters(), before, strict=True):
        np.testing.assert_array_equal(weight.detach().numpy(), np.clip(old, -0.1, 0.1).astype(np.float32))
        assert weight.requires_grad


def test_flags_that_the_checks_read():
    assert {name for name, loss in OBJECTIVES.items() if loss.smoothable} == {
        "minimax",
        "non_saturating",
        "least_squares",
    }
    assert {name for name, loss in OBJECTIVES.items() if loss.needs_bound} == {"wasserstein"}
    assert {name for name, loss in OBJECTIVES.items() if loss.compares_pairs} == {"relativistic"}
    assert list(PENALTIES) == ["gradient_penalty", "lecam", "r1", "r2"]
    assert {name for name, penalty in PENALTIES.items() if penalty.at_images} == {"r1", "r2"}
    assert PENALTIES["gradient_penalty"].bounds_critic and not PENALTIES["r1"].bounds_critic
    assert PENALTIES["gradient_penalty"].forbids_minibatch and not PENALTIES["r1"].forbids_minibatch


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ({"name": "hinge"}, "hinge"),
        ({"name": "wasserstein", "gradient_penalty": 10, "r1": 1}, "wasserstein-gp+r1"),
        ({"name": "hinge", "augmentation_target": 0.0}, "hinge+adaptive"),
        ({"name": "wasserstein", "weight_clip": 0.01, "instance_noise": 0.1}, "wasserstein-clip+noise"),
        (
            {"name": "least_squares", "gradient_penalty": 10, "label_smoothing": 0.1},
            "least-squares+gp+smoothing",
        ),
        ({"name": "gone_since", "r1": 0.0}, "gone-since"),
    ],
)
def test_name_of_an_objective_with_its_additions(section, name):
    assert objective_name(section) == name
