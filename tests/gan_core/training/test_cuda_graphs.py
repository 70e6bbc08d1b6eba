"""Steps that were recorded as CUDA graphs do what plain steps do."""

import pytest
import torch

from gan_core.training.cuda_graphs import CapturedStep, may_capture
from gan_core.training.optimizers import CUDA_GRAPHS
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step


def fresh_state(experiment, device: str) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=torch.device(device))


def test_nothing_is_recorded_on_a_cpu(make_experiment, monkeypatch):
    monkeypatch.setenv(CUDA_GRAPHS, "1")
    assert not may_capture(fresh_state(make_experiment(), "cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "objective": {"name": "wasserstein", "gradient_penalty": 10},
            "conditioning": {"name": "acgan"},
            "n_critic": 3,
            "ema_decay": 0.9,
            "horizontal_flips": True,
            "learning_rate_decay": "linear",
        },
        {
            "objective": {"name": "hinge", "instance_noise": 0.1},
            "architecture": {"width": 4, "spectral_norm": True, "dropout": 0.2},
        },
        {
            "objective": {"name": "wasserstein", "weight_clip": 0.1},
            "optimizers": {name: {"name": "rmsprop"} for name in ("generator", "discriminator")},
        },
        {
            "objective": {
                "name": "relativistic",
                "r1": 0.5,
                "r2": 0.5,
                "gradients_at": "original",
                "differentiable_augmentation": ["translation"],
                "augmentation_probability": 0.1,
            },
            "ema_half_life": 0,
            "schedules": {
                "learning_rate": {"to": 1e-5, "images": 400},
                "r1": {"to": 0.05},
                "ema_half_life": {"to": 100},
                "augmentation_probability": {"to": 0.9},
            },
        },
    ],
    ids=["dcgan", "acgan-wgan-gp", "sngan", "wgan", "relativistic"],
)
def test_recorded_steps_equal_plain_ones(make_experiment, values, monkeypatch):
    monkeypatch.setenv(CUDA_GRAPHS, "1")
    torch.backends.cudnn.deterministic = True
    plain, recorded = (fresh_state(make_experiment(**values), "cuda") for _ in range(2))
    captured = CapturedStep(recorded)
    numbers = torch.Generator("cuda").manual_seed(0)
    for step in range(60):
        images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, device="cuda", dtype=torch.uint8)
        labels = torch.arange(8, device="cuda") % 3 if plain.experiment.conditional else None
        fresh = (images.flip(0), labels) if plain.objective.compares_pairs else None
        train_step(plain, images, labels, 800, fresh)
        captured(images, labels, 800, fresh, plain=step % 20 == 19)
        if step % 20 == 19 and step < 59:  # as after a row
            assert recorded.meter.means() == pytest.approx(plain.meter.means(), rel=1e-3, abs=1e-4)
            plain.meter.reset()
            recorded.meter.reset()
    assert captured.recordings
    assert recorded.images_seen == plain.images_seen
    expected, found = plain.meter.means(), recorded.meter.means()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for network in ("generator", "discriminator"):
        mine, theirs = getattr(recorded, network).state_dict(), getattr(plain, network).state_dict()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-2, atol=1e-3, msg=name)
