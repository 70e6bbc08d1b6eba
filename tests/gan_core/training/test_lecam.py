"""LeCam (Tseng et al. 2021): the formula, the moving averages, and when they count, in float64."""

import numpy as np
import pytest
import torch

from gan_core.objectives.penalties.lecam import lecam_penalty
from gan_core.training import score_averages
from gan_core.training.processes.ranks import Ranks
from gan_core.training.score_averages import ScoreAverages
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step

CPU = torch.device("cpu")


def state_of(experiment) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=CPU)


def images(seed: int) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)


def reference(real: np.ndarray, fake: np.ndarray, real_average: float, fake_average: float) -> float:
    above, below = np.maximum(real - fake_average, 0), np.maximum(real_average - fake, 0)
    return (above**2).mean() + (below**2).mean()


def test_the_penalty_against_its_formula():
    numbers = np.random.default_rng(0)
    real, fake = numbers.normal(1, 2, 50), numbers.normal(-1, 2, 50)
    tensors = (torch.from_numpy(real).requires_grad_(), torch.from_numpy(fake))
    penalty = lecam_penalty(*tensors, torch.tensor(0.7), torch.tensor(-0.4))
    assert penalty.item() == pytest.approx(reference(real, fake, 0.7, -0.4), rel=1e-6)
    penalty.backward()
    expected = 2 * np.maximum(real + 0.4, 0) / 50
    np.testing.assert_allclose(tensors[0].grad.numpy(), expected, rtol=1e-6)


def test_averages_remember_from_the_first_step_on_and_count_after_it(monkeypatch):
    monkeypatch.setattr(score_averages, "FIRST_STEP", 3)
    averages, expected = ScoreAverages(CPU), None
    numbers = np.random.default_rng(1)
    for step in range(1, 7):
        real, fake = numbers.normal(1, 1, 8), numbers.normal(-1, 1, 8)
        memory = score_averages.memory_at(step)
        averages.keep.fill_(memory["keep"])
        averages.active.fill_(memory["active"])
        averages.update(torch.from_numpy(real), torch.from_numpy(fake), Ranks())
        means = np.array([real.mean(), fake.mean()])
        expected = means if step < 3 else 0.99 * expected + 0.01 * means
        assert [averages.real.item(), averages.fake.item()] == pytest.approx(expected.tolist(), rel=1e-5)
        assert averages.active.item() == (step > 3)


@pytest.mark.parametrize("n_critic", [1, 2])
def test_a_step_is_penalised_after_the_first_steps_of_g(make_experiment, monkeypatch, n_critic):
    monkeypatch.setattr(score_averages, "FIRST_STEP", 2)
    state = state_of(make_experiment(objective={"name": "hinge", "lecam": 0.3}, n_critic=n_critic))
    said, penalties = [], []
    penalised = score_averages.ScoreAverages.update

    def update(averages, real, fake, ranks):
        said.append((real.numpy().copy(), fake.numpy().copy()))
        penalised(averages, real, fake, ranks)

    monkeypatch.setattr(ScoreAverages, "update", update)
    for step in range(4 * n_critic):
        state.meter.reset()
        train_step(state, images(step), None, 800)
        penalties.append(state.meter.means()["lecam"])
    average = None
    for step, (real, fake) in enumerate(said):
        means = np.array([real.mean(), fake.mean()])
        of_generator = step // n_critic + 1
        average = means if of_generator < 2 else 0.99 * average + 0.01 * means
        expected = reference(real, fake, *average) if of_generator > 2 else 0.0
        assert penalties[step] == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert penalties[-1] > 0


def test_the_penalty_moves_d_by_its_weight(make_experiment, monkeypatch):
    """Against the gradient of the hinge loss and the formula, by SGD."""
    monkeypatch.setattr(score_averages, "FIRST_STEP", 0)
    sgd = {name: {"name": "sgd"} for name in ("generator", "discriminator")}
    architecture = {"width": 4, "discriminator_norm": "none"}
    values = {"objective": {"name": "hinge", "lecam": 0.3}, "optimizers": sgd, "architecture": architecture}
    state, obvious = (state_of(make_experiment(**values)) for _ in range(2))
    for one in (state, obvious):
        one.score_averages.load_state_dict({"real": torch.tensor(0.5), "fake": torch.tensor(-0.5)})
    critic, latent = obvious.discriminator, obvious.experiment.latent
    real = critic(images(0) / 127.5 - 1).score
    fake = critic(obvious.generator(obvious.noise.latents(latent, 8), None).detach()).score
    average_real = 0.99 * 0.5 + 0.01 * real.mean().item()
    average_fake = 0.99 * -0.5 + 0.01 * fake.mean().item()
    loss = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
    above, below = torch.relu(real - average_fake), torch.relu(average_real - fake)
    loss = loss + 0.3 * (above.square().mean() + below.square().mean())
    gradients = torch.autograd.grad(loss, list(critic.parameters()))
    before = [weight.detach().clone() for weight in critic.parameters()]
    train_step(state, images(0), None, 800)
    for old, new, gradient in zip(before, state.discriminator.parameters(), gradients, strict=True):
        torch.testing.assert_close(new.detach(), old - 2e-4 * gradient, rtol=1e-5, atol=1e-8)


def test_averages_are_part_of_a_checkpoint(make_experiment, monkeypatch):
    monkeypatch.setattr(score_averages, "FIRST_STEP", 1)
    experiment = make_experiment(objective={"name": "hinge", "lecam": 0.3})
    first = state_of(experiment)
    for step in range(3):
        train_step(first, images(step), None, 800)
    second = state_of(experiment)
    second.load_state_dict(first.frozen())
    for state in (first, second):
        train_step(state, images(4), None, 800)
    assert first.score_averages.state_dict() == second.score_averages.state_dict()
    mine, theirs = first.discriminator.state_dict(), second.discriminator.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert state_of(make_experiment()).state_dict()["score_averages"] is None


def test_lecam_may_stand_beside_batch_norm(make_experiment):
    experiment = make_experiment(objective={"lecam": 0.3})
    assert experiment.architecture.discriminator_norm == "batch"
