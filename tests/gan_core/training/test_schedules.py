"""What moves while a run trains: half a cosine of the images seen, for each thing that may move."""

import math

import pytest
import torch

from gan_core.config import Cosine
from gan_core.training.augmentation import as_seen
from gan_core.training.cuda_graphs import may_capture
from gan_core.training.ema import GeneratorEMA
from gan_core.training.noise import Noise
from gan_core.training.optimizers import CUDA_GRAPHS
from gan_core.training.processes.ranks import Ranks
from gan_core.training.state import TrainingState
from gan_core.training.step import prepare_step, train_step

EVERYTHING = {
    "objective": {
        "name": "relativistic",
        "r1": 0.05,
        "r2": 0.05,
        "differentiable_augmentation": ["translation"],
        "augmentation_probability": 0,
    },
    "optimizers": {
        "generator": {"learning_rate": 2e-4, "betas": [0.0, 0.9]},
        "discriminator": {"learning_rate": 1e-4, "betas": [0.0, 0.8]},
    },
    "ema_half_life": 0,
    "schedules": {
        "learning_rate": {"to": 5e-5, "images": 400},
        "beta2": {"to": 0.99, "images": 400},
        "r1": {"to": 0.005, "images": 400},
        "r2": {"to": 0.0},
        "ema_half_life": {"to": 64, "images": 400},
        "augmentation_probability": {"to": 0.55, "images": 400},
    },
}


def state_of(experiment) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=torch.device("cpu"))


def real_images() -> torch.Tensor:
    numbers = torch.Generator().manual_seed(9)
    return torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)


def cosine(start: float, to: float, share: float) -> float:
    """As R3GAN's schedule is written: the base value plus the risen share of the way."""
    risen = 1 - 0.5 * (1 + math.cos(math.pi * min(share, 1)))
    return start + risen * (to - start)


def test_half_a_cosine():
    falling = Cosine(to=1.0, images=100)
    assert [falling.at(3.0, seen, 999) for seen in (0, 50, 100, 150)] == pytest.approx([3, 2, 1, 1])
    assert falling.at(3.0, 25, 999) == pytest.approx(2 + math.sqrt(0.5))
    assert Cosine(to=1.0).at(3.0, 50, 200) == pytest.approx(falling.at(3.0, 25, 999))  # of the whole run


@pytest.mark.parametrize("seen", [0, 100, 200, 400, 600])
def test_each_value_is_where_its_schedule_says(make_experiment, seen):
    state = state_of(make_experiment(**EVERYTHING))
    state.images_seen = seen
    prepare_step(state, 800)
    share = seen / 400
    for network, rate, beta2 in (("generator", 2e-4, 0.9), ("discriminator", 1e-4, 0.8)):
        (group,) = state.optimizers[network].param_groups
        assert group["lr"] == pytest.approx(cosine(rate, 5e-5, share), rel=1e-12)
        assert group["betas"] == (0.0, pytest.approx(cosine(beta2, 0.99, share), rel=1e-12))
    found = {name: value.item() for name, value in state.scheduled.items()}
    half_life = cosine(0, 64, share)
    assert found == pytest.approx(
        {
            "r1": cosine(0.05, 0.005, share),
            "r2": cosine(0.05, 0, seen / 800),
            "ema_decay": 0.5 ** (8 / half_life) if half_life else 0,
            "augmentation_probability": cosine(0, 0.55, share),
        },
        rel=1e-6,
        abs=1e-9,
    )
    assert state.ema.decay is state.scheduled["ema_decay"]
    assert state.augmentation_probability is state.scheduled["augmentation_probability"]


def test_tensor_rates_are_filled_so_that_a_replay_reads_them(make_experiment):
    state = state_of(make_experiment(**EVERYTHING))
    rate = torch.tensor(0.0)
    state.optimizers["generator"].param_groups[0]["lr"] = rate
    state.images_seen = 200
    prepare_step(state, 800)
    assert rate.item() == pytest.approx(cosine(2e-4, 5e-5, 0.5), rel=1e-6)


def test_a_step_uses_the_scheduled_weight_of_a_penalty(make_experiment):
    """SGD of D with r1 moved to what a constant experiment has."""
    sgd = {name: {"name": "sgd"} for name in ("generator", "discriminator")}
    values = {"architecture": {"width": 4, "discriminator_norm": "none"}, "optimizers": sgd}
    schedules = {"r1": {"to": 3, "images": 80}}
    moved = state_of(make_experiment(**values, objective={"r1": 100}, schedules=schedules))
    constant = state_of(make_experiment(**values, objective={"r1": 3}))
    other = state_of(make_experiment(**values, objective={"r1": 100}))
    for state in (moved, constant, other):
        state.images_seen = 80
        train_step(state, real_images(), None, 800)
    weights = [list(state.discriminator.parameters()) for state in (moved, constant, other)]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_the_average_by_a_scheduled_decay_closed_form():
    network, decay = torch.nn.Linear(1, 1, bias=False), torch.tensor(0.0)
    torch.nn.init.constant_(network.weight, 5.0)
    average = GeneratorEMA(network, decay)
    expected = 5.0
    for value, weight in ((0.0, 2.0), (0.5, 4.0), (0.75, -1.0)):
        decay.fill_(value)
        torch.nn.init.constant_(network.weight, weight)
        average.update(network)
        expected = value * expected + (1 - value) * weight
        assert average.module.weight.item() == pytest.approx(expected)


def test_a_half_life_is_in_images(make_experiment):
    experiment = make_experiment(ema_half_life=80, n_critic=2)
    assert experiment.averaging_decay**5 == pytest.approx(0.5)  # five steps of G are 80 images
    assert state_of(experiment).ema.decay == experiment.averaging_decay
    assert make_experiment().averaging_decay is None
    assert make_experiment(ema_half_life=0).averaging_decay == 0  # the weights as they are
    assert make_experiment(ema_decay=0.9).averaging_decay == 0.9


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_augmentations_are_applied_with_their_probability(make_experiment, probability):
    objective = {"differentiable_augmentation": ["color"], "augmentation_probability": probability}
    experiment = make_experiment(objective=objective)
    images = torch.rand(1000, 1, 4, 4)
    noise = Noise(0, torch.device("cpu"), Ranks())
    seen = as_seen(images, experiment, noise, torch.tensor(0.0), torch.tensor(probability))
    changed = (seen != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(probability, abs=0.05)
    same = Noise(0, torch.device("cpu"), Ranks())
    always = as_seen(images, make_experiment(objective={**objective, "augmentation_probability": 1}), same, 0)
    assert torch.equal(seen[changed], always[changed])


def test_an_augmentation_that_is_certain_draws_nothing_more(make_experiment):
    certain = make_experiment(objective={"differentiable_augmentation": ["color"]})
    assert state_of(certain).augmentation_probability is None
    likely = {"differentiable_augmentation": ["color"], "augmentation_probability": 0.5}
    assert state_of(make_experiment(objective=likely)).augmentation_probability.item() == 0.5


def test_a_resumed_run_goes_on_where_the_schedules_were(make_experiment):
    experiment, images = make_experiment(**EVERYTHING), real_images()
    whole = state_of(experiment)
    for _ in range(6):
        train_step(whole, images, None, 80)
    first = state_of(experiment)
    for _ in range(3):
        train_step(first, images, None, 80)
    second = state_of(experiment)
    second.load_state_dict(first.frozen())
    for _ in range(3):
        train_step(second, images, None, 80)
    for network in (lambda state: state.generator, lambda state: state.discriminator, lambda s: s.ema.module):
        mine, theirs = network(second).state_dict(), network(whole).state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_adam_follows_a_moving_beta2(make_experiment):
    """Against Adam written out (Kingma and Ba 2015, algorithm 1), its bias correction by today's beta2."""
    adam = {"learning_rate": 1e-3, "betas": [0.0, 0.5]}
    experiment = make_experiment(
        optimizers={"generator": adam, "discriminator": adam}, schedules={"beta2": {"to": 0.99}}
    )
    state = state_of(experiment)
    weights = list(state.discriminator.parameters())
    expected = [weight.detach().double() for weight in weights]
    squares = [torch.zeros_like(weight) for weight in expected]
    for step in range(4):
        train_step(state, real_images(), None, 32)
        beta2 = cosine(0.5, 0.99, step * 8 / 32)
        for weight, mine, square in zip(weights, expected, squares, strict=True):
            gradient = weight.grad.double()
            square.mul_(beta2).add_((1 - beta2) * gradient**2)
            corrected = square / (1 - beta2 ** (step + 1))
            mine -= 1e-3 * gradient / (corrected.sqrt() + 1e-8)
    for weight, mine in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach().double(), mine, rtol=1e-4, atol=1e-6)


def test_steps_with_a_moving_beta2_are_not_recorded(make_experiment, monkeypatch):
    monkeypatch.setenv(CUDA_GRAPHS, "1")
    monkeypatch.setattr("gan_core.training.cuda_graphs.graphs_wanted", lambda device: True)
    assert may_capture(state_of(make_experiment()))
    assert not may_capture(state_of(make_experiment(schedules={"beta2": {"to": 0.99}})))
