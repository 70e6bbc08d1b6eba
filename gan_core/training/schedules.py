"""What moves while a run trains: every value is a pure function of the images seen, so that a run that is
resumed goes on where it was."""

import torch
from torch import Tensor

from gan_core.config import Experiment
from gan_core.training.optimizers import set_betas, set_rate

EMA_DECAY = "ema_decay"
AUGMENTATION_PROBABILITY = "augmentation_probability"


def device_values(experiment: Experiment, device: torch.device) -> dict[str, Tensor]:
    """A scalar on the device for each scheduled value that a step reads there, also as a CUDA graph: the
    weights of penalties by name, the average's decay and the probability of augmentation."""
    return {name: torch.zeros((), device=device) for name in _values(experiment, 0, 1)}


def apply_schedules(
    experiment: Experiment,
    optimizers: dict[str, torch.optim.Optimizer],
    on_device: dict[str, Tensor],
    images_seen: int,
    total_images: int,
) -> None:
    """Set all that is scheduled to what it is after `images_seen` images. Nothing waits for the device."""
    schedules, now = experiment.schedules, (images_seen, total_images)
    for network, optimizer in optimizers.items():
        config = getattr(experiment.optimizers, network)
        if schedules.learning_rate:
            set_rate(optimizer, schedules.learning_rate.at(config.learning_rate, *now))
        if schedules.beta2 and config.name == "adam":
            beta1, beta2 = config.betas
            set_betas(optimizer, (beta1, schedules.beta2.at(beta2, *now)))
    for name, value in _values(experiment, *now).items():
        on_device[name].fill_(value)


def _values(experiment: Experiment, images_seen: int, total_images: int) -> dict[str, float]:
    schedules, now = experiment.schedules, (images_seen, total_images)
    values = {
        name: schedule.at(experiment.objective.penalties[name], *now)
        for name, schedule in schedules.penalties.items()
    }
    if schedules.ema_half_life:
        half_life = schedules.ema_half_life.at(experiment.ema_half_life, *now)
        values[EMA_DECAY] = experiment.decay_of(half_life)
    if schedules.augmentation_probability:
        start = experiment.objective.augmentation_probability
        values[AUGMENTATION_PROBABILITY] = schedules.augmentation_probability.at(start, *now)
    return values
