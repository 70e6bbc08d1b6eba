"""What moves while a run trains: every value is a pure function of how far the run is, so that a run that is
resumed goes on where it was."""

import torch
from torch import Tensor

from gan_core.config import Experiment
from gan_core.training.adaptive_augmentation import change_after
from gan_core.training.critic_steps import generator_steps
from gan_core.training.optimizers import learning_rate_factor, share_left
from gan_core.training.score_averages import memory_at

EMA_DECAY = "ema_decay"
AUGMENTATION_PROBABILITY = "augmentation_probability"


def rate_of(network: str) -> str:
    """What the learning rate of a network is called among the values that move."""
    return f"learning rate of the {network}"


def device_values(experiment: Experiment, device: torch.device) -> dict[str, Tensor]:
    """A scalar on the device for each scheduled value that a step reads there, also as a CUDA graph: the
    weights of penalties by name, the average's decay and the probability of augmentation."""
    return {name: torch.zeros((), device=device) for name in _scheduled(experiment, 0, 1)}


def step_values(experiment: Experiment, steps: int, images_seen: int, total_images: int) -> dict[str, float]:
    """What the step after `steps` of D and `images_seen` images reads: a value for each scalar of
    `TrainingState.moving`, and for both networks' learning rates."""
    values = {"noise_level": share_left(images_seen, total_images)}
    values |= _learning_rates(experiment, images_seen, total_images)
    values |= _scheduled(experiment, images_seen, total_images)
    values |= memory_at(generator_steps(experiment, steps) + 1)
    return values | change_after(steps, experiment.batch_size)


def scheduled_betas(
    experiment: Experiment, network: str, images_seen: int, total_images: int
) -> tuple[float, float] | None:
    """Adam's coefficients of a network where they move, else None."""
    config, schedule = getattr(experiment.optimizers, network), experiment.schedules.beta2
    if not schedule or config.name != "adam":
        return None
    beta1, beta2 = config.betas
    return beta1, schedule.at(beta2, images_seen, total_images)


def _learning_rates(experiment: Experiment, images_seen: int, total_images: int) -> dict[str, float]:
    schedule, rates = experiment.schedules.learning_rate, {}
    factor = learning_rate_factor(experiment, images_seen, total_images)
    for network in ("generator", "discriminator"):
        rate = getattr(experiment.optimizers, network).learning_rate
        moved = schedule.at(rate, images_seen, total_images) if schedule else rate * factor
        rates[rate_of(network)] = moved
    return rates


def _scheduled(experiment: Experiment, images_seen: int, total_images: int) -> dict[str, float]:
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
