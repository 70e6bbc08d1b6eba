"""Every shipped experiment trains: with all its settings, at its images' size, in a narrow network."""

import re
from pathlib import Path

import pytest
import torch

from gan_core.config import Experiment, load_configs
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step

CONFIGS = load_configs(Path(__file__).parents[3] / "configs")
# Seeds train the same network.
EXPERIMENTS = sorted(name for name, item in CONFIGS.experiments.items() if item.seed == 0)
# What makes a step another one; an experiment that differs in nothing of it trains alike.
OF_A_STEP = (
    "architecture",
    "latent",
    "output",
    "objective",
    "conditioning",
    "schedules",
    "n_critic",
    "precision",
)
NARROW = 8
SMALL_BATCH = 8


def one_of_each() -> list[str]:
    """The first experiment of each kind of step, by the size of the images."""
    kinds = {}
    for name in EXPERIMENTS:
        experiment = CONFIGS.experiments[name]
        dataset = CONFIGS.datasets[experiment.dataset]
        step = experiment.model_dump_json(include=set(OF_A_STEP))
        kinds.setdefault((step, dataset.image_size, dataset.channels), name)
    return sorted(kinds.values())


def narrow(experiment: Experiment) -> Experiment:
    values = experiment.model_dump()
    values["architecture"] |= {"width": NARROW, "discriminator_width": NARROW}
    return Experiment.model_validate(values)


def train(experiment: Experiment, batch_size: int, rounds: int) -> TrainingState:
    dataset = CONFIGS.datasets[experiment.dataset]
    n_classes = 10 if dataset.labelled else 0
    state = TrainingState(
        experiment,
        channels=dataset.channels,
        image_size=dataset.image_size,
        n_classes=n_classes,
        device=torch.device("cpu"),
    )
    numbers = torch.Generator().manual_seed(0)
    shape = (batch_size, dataset.channels, dataset.image_size, dataset.image_size)
    for _ in range(rounds * experiment.n_critic):
        images = torch.randint(0, 256, shape, generator=numbers, dtype=torch.uint8)
        labels = torch.randint(10, (batch_size,), generator=numbers) if experiment.conditional else None
        train_step(state, images, labels, 10**6)
    return state


def check(experiment: Experiment, batch_size: int, rounds: int) -> None:
    fresh = train(experiment, batch_size, 0)
    state = train(experiment, batch_size, rounds)
    means = state.meter.means()
    assert {"d_loss", "g_loss", "d_real_accuracy", "d_fake_accuracy"} <= means.keys()
    assert all(torch.tensor(list(means.values())).isfinite())
    assert state.not_finite() == []
    for network in ("generator", "discriminator"):
        before, after = (dict(getattr(item, network).named_parameters()) for item in (fresh, state))
        unchanged = [name for name in before if torch.equal(before[name], after[name])]
        # A bias in front of a norm has no gradient; every weight learns.
        assert [name for name in unchanged if not name.endswith("bias")] == []
    dataset = CONFIGS.datasets[experiment.dataset]
    assert state.draw_fixed().shape[1:] == (dataset.channels, dataset.image_size, dataset.image_size)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_trains_narrow(name):
    check(narrow(CONFIGS.experiments[name]), SMALL_BATCH, rounds=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", one_of_each())
def test_trains_at_its_real_width(name):
    check(CONFIGS.experiments[name], 4, rounds=1)


def test_every_experiment_says_where_it_comes_from():
    assert [name for name, item in CONFIGS.experiments.items() if len(item.description) < 60] == []


PUBLISHED = {  # the parameters of G, without the biases that batch norm takes away, and of D
    "cifar10-published-dcgan": (11_429_632, 4_309_441),
    "cifar10-published-wgan": (3_583_555, 5_860_865),
    "cifar10-published-wgan-gp-cnn": (3_583_555, 5_860_865),
    "cifar10-published-sngan-cnn": (3_583_555, 5_860_865),
    "cifar10-dcgan": (1_068_931, 663_361),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_are_as_large_as_their_description_says(name):
    experiment = CONFIGS.experiments[f"{name}-seed-0"]
    state = train(experiment, 4, 0)
    counts = tuple(
        sum(parameter.numel() for parameter in getattr(state, network).parameters())
        for network in ("generator", "discriminator")
    )
    assert counts == PUBLISHED[name]
    described = [f"{count / 1e6:.2f}" for count in counts]
    assert f"{described[0]} and {described[1]} million" in experiment.description


def test_every_experiment_of_cifar10_says_which_figure_it_aims_at():
    """And the page on papers lists those that aim at one."""
    page = (Path(__file__).parents[3] / "docs" / "papers.md").read_text()
    listed = page.partition("## What the shipped experiments aim at")[2]
    for name in EXPERIMENTS:
        experiment = CONFIGS.experiments[name]
        if experiment.dataset != "cifar10":
            continue
        aims = experiment.description.startswith("Aims at an Inception Score of")
        words = ("no published figure", "none is aimed at", "no aim", "Near the")
        assert aims != any(word.lower() in experiment.description.lower() for word in words), name
        assert (f"| `{name.removesuffix('-seed-0')}` |" in listed) == aims, name
        if aims:
            assert "Differs:" in experiment.description
            score, fid = re.findall(r"(?:Score|FID) of (\d+\.\d+)", experiment.description)
            assert f"| `{name.removesuffix('-seed-0')}` | {score} / {fid} |" in listed


def test_what_is_compared_has_three_seeds():
    for name in (
        "bedroom-batch-size-32",
        "cifar10-wgan-gp-resnet",
        "cifar10-sngan",
        "mnist-latent-size-10000",
    ):
        assert {f"{name}-seed-{seed}" for seed in (0, 1, 2)} <= set(CONFIGS.experiments)
