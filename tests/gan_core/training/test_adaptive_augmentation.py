"""StyleGAN2-ADA's adaptive augmentation (Karras et al. 2020) against the rule written out in numpy."""

import numpy as np
import pytest
import torch

from gan_core.training import adaptive_augmentation
from gan_core.training.adaptive_augmentation import AdaptiveAugmentation
from gan_core.training.processes.ranks import Ranks
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step

CPU = torch.device("cpu")
OBJECTIVE = {
    "differentiable_augmentation": ["translation"],
    "augmentation_probability": 0,
    "augmentation_target": 0.6,
}


def state_of(experiment) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=CPU)


def images(seed: int) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)


@pytest.mark.parametrize(("start", "boundary"), [(0.0, 0.0), (0.5, 0.3), (1.0, -0.2)])
def test_the_probability_follows_the_sign_of_the_scores(start, boundary):
    """On the way to 1 in 500,000 images: 64 of them, four times, are 0.000512."""
    numbers = np.random.default_rng(0)
    adaptive, expected = AdaptiveAugmentation(start, 0.6, CPU), start
    signs = []
    for step in range(41):
        adaptive.change.fill_(adaptive_augmentation.change_after(step, 64)["change"])
        adaptive.adjust()
        if step and step % 4 == 0:
            expected += np.sign(np.mean(signs) - 0.6) * 64 * 4 / 500_000
            expected, signs = min(max(expected, 0), 1), []
        assert adaptive.probability.item() == pytest.approx(expected, rel=1e-5, abs=1e-9)
        scores = numbers.normal(2.0 if step < 24 else 0.2, 1, 64)
        adaptive.update(torch.from_numpy(scores), boundary, Ranks())
        signs.append(np.sign(scores - boundary).mean())
    assert expected != start


def test_a_surer_discriminator_sees_more_augmentation(make_experiment, monkeypatch):
    monkeypatch.setattr(adaptive_augmentation, "IMAGES", 320)
    state = state_of(make_experiment(objective=OBJECTIVE))
    found = []
    for step in range(13):
        with torch.no_grad():
            state.discriminator.score.bias.fill_(1e3 if step < 8 else -1e3)
        state.meter.reset()
        train_step(state, images(step), None, 800)
        found.append(state.meter.means()["augmentation_probability"])
    # 8 images, four times, are a tenth of 320.
    assert found == pytest.approx([0] * 4 + [0.1] * 4 + [0.2] * 4 + [0.1], abs=1e-6)
    assert state.augmentation_probability is state.adaptive_augmentation.probability


def test_it_is_part_of_a_checkpoint(make_experiment, monkeypatch):
    monkeypatch.setattr(adaptive_augmentation, "IMAGES", 64)
    experiment = make_experiment(objective={**OBJECTIVE, "augmentation_target": -0.9})
    whole, first, second = (state_of(experiment) for _ in range(3))
    for step in range(9):
        train_step(whole, images(step), None, 800)
    for step in range(6):
        train_step(first, images(step), None, 800)
    second.load_state_dict(first.frozen())
    for step in range(6, 9):
        train_step(second, images(step), None, 800)
    assert second.adaptive_augmentation.state_dict() == whole.adaptive_augmentation.state_dict()
    assert whole.augmentation_probability.item() > 0
    mine, theirs = whole.discriminator.state_dict(), second.discriminator.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_nothing_follows_where_no_target_is_set(make_experiment):
    state = state_of(make_experiment(objective={**OBJECTIVE, "augmentation_target": None}))
    train_step(state, images(0), None, 800)
    assert state.adaptive_augmentation is None
    assert "augmentation_probability" not in state.meter.means()
