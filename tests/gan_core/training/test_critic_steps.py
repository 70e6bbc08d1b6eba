"""When G is updated, against the loop of WGAN's code, and after a resume."""

import itertools

import pytest
import torch

from gan_core.training.critic_steps import first_generator_step, generator_steps, updates_generator
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step


def arjovskys_loop(n_critic: int, long: int, turns: int) -> list[bool]:
    """Of each step of D whether one of G follows: the loop of the authors' main.py with these numbers."""
    follows = []
    for gen_iterations in range(turns):
        critic_steps = long if gen_iterations < 25 or gen_iterations % 500 == 0 else n_critic
        follows += [False] * (critic_steps - 1) + [True]
    return follows


@pytest.mark.parametrize(("n_critic", "long"), [(5, 100), (1, 100), (3, 7), (4, 4), (1, 1)])
def test_long_steps_are_those_of_the_authors_code(make_experiment, n_critic, long):
    experiment = make_experiment(n_critic=n_critic, n_critic_long=long)
    expected = arjovskys_loop(n_critic, long, 1_600)
    steps = range(1, len(expected) + 1)
    assert [updates_generator(experiment, step) for step in steps] == expected
    assert first_generator_step(experiment) == long
    counted = [generator_steps(experiment, count) for count in range(len(expected) + 1)]
    assert counted == list(itertools.accumulate(expected, initial=0))


def test_without_long_steps_every_n_critic_th_is_followed(make_experiment):
    experiment = make_experiment(n_critic=3)
    assert [updates_generator(experiment, step) for step in range(1, 10)] == [False, False, True] * 3
    assert first_generator_step(experiment) == 3 and generator_steps(experiment, 11) == 3


def fresh_state(experiment) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=0, device=torch.device("cpu"))


def train(state: TrainingState, first: int, last: int) -> list[bool]:
    """Of each step of D from `first` to `last` whether it changed G."""
    changed = []
    for number in range(first, last + 1):
        numbers = torch.Generator().manual_seed(number)
        images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)
        before = state.generator.project.weight.clone()
        train_step(state, images, None, 800)
        changed.append(not torch.equal(before, state.generator.project.weight))
    return changed


def test_a_resumed_run_goes_on_in_the_middle_of_long_steps(make_experiment):
    """Also with images of G's own: the same bits."""
    keys = {"fresh_fakes": True, "generator_batch_factor": 2, "ema_decay": 0.9}
    experiment = make_experiment(n_critic=1, n_critic_long=3, **keys)
    whole, first, second = (fresh_state(experiment) for _ in range(3))
    expected = arjovskys_loop(1, 3, 5)
    assert train(whole, 1, len(expected)) == expected
    train(first, 1, 5)
    second.load_state_dict(first.frozen())
    assert train(second, 6, len(expected)) == expected[5:]
    for network in ("generator", "discriminator"):
        mine, theirs = (getattr(state, network).state_dict() for state in (second, whole))
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("keys", "two_steps"),
    [
        ({}, [(8, False), (8, True)]),
        ({"fresh_fakes": True}, [(8, False), (8, False), (8, True)]),
        ({"fresh_fakes": True, "generator_batch_factor": 3}, [(8, False), (8, False), (24, True)]),
    ],
    ids=["shared", "fresh", "three times as many"],
)
def test_which_images_are_made_with_a_graph(make_experiment, keys, two_steps):
    """For each pass of G its images, and whether it may be differentiated: D's step needs no graph."""
    state, made = fresh_state(make_experiment(n_critic=2, **keys)), []
    state.generator.register_forward_hook(
        lambda _, given, images: made.append((len(images), images.requires_grad))
    )
    train(state, 1, 4)
    assert made == two_steps * 2
