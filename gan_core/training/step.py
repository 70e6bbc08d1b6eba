"""One training step: an update of D on a batch of real images and, every `n_critic`-th time, one of G."""

import torch
from torch import Tensor

from gan_core.config import Experiment
from gan_core.images import to_network_range
from gan_core.models import DiscriminatorOutput, draw_latents
from gan_core.objectives import OBJECTIVES, class_loss, gradient_penalty
from gan_core.training.state import TrainingState


def train_step(state: TrainingState, images: Tensor, labels: Tensor | None, total_images: int) -> None:
    """Advance `state` by one batch: uint8 (B, C, H, W) real images and their int64 (B,) labels.

    The fakes are made once: where G is updated after this update of D, they keep their graph and D's new
    weights judge them again, as in PyTorch's DCGAN example; otherwise they are made without a graph. With
    batch norm, real and fake images go through D in separate batches (Radford et al. 2016, and the authors'
    code). Nothing here waits for the device.
    """
    experiment = state.experiment
    set_learning_rates(state, learning_rate_factor(experiment, state.images_seen, total_images))
    updates_generator = (state.step + 1) % experiment.n_critic == 0
    real = real_batch(images, experiment.horizontal_flips, state.noise)
    with torch.set_grad_enabled(updates_generator):
        fake, fake_labels = _make_fakes(state, len(images))
    _update_discriminator(state, real, labels, fake.detach(), fake_labels)
    if updates_generator:
        _update_generator(state, fake, fake_labels)
    state.step += 1
    state.images_seen += len(images)


def learning_rate_factor(experiment: Experiment, images_seen: int, total_images: int) -> float:
    """1, or falling linearly from 1 at the start of the run to 0 at its end."""
    if experiment.learning_rate_decay == "none":
        return 1.0
    return max(0.0, 1.0 - images_seen / total_images)


def set_learning_rates(state: TrainingState, factor: float) -> None:
    optimizers = state.experiment.optimizers
    for optimizer, config in (
        (state.generator_optimizer, optimizers.generator),
        (state.discriminator_optimizer, optimizers.discriminator),
    ):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * factor


def real_batch(images: Tensor, flips: bool, noise: torch.Generator) -> Tensor:
    """uint8 (B, C, H, W) -> float in [-1, 1], channels last, each image mirrored with probability 1/2."""
    real = to_network_range(images).contiguous(memory_format=torch.channels_last)
    if flips:
        mirrored = torch.rand((len(real), 1, 1, 1), generator=noise, device=real.device) < 0.5
        real = torch.where(mirrored, real.flip(3), real)
    return real


def _make_fakes(state: TrainingState, count: int) -> tuple[Tensor, Tensor | None]:
    z = draw_latents(state.experiment.latent, count, state.noise)
    n_classes = state.generator.n_classes
    labels = (
        torch.randint(n_classes, (count,), generator=state.noise, device=state.device) if n_classes else None
    )
    with _autocast(state):
        return state.generator(z, labels), labels


def _update_discriminator(
    state: TrainingState, real: Tensor, labels: Tensor | None, fake: Tensor, fake_labels: Tensor | None
) -> None:
    experiment, discriminator = state.experiment, state.discriminator
    with _autocast(state):
        of_real, of_fake = discriminator(real, labels), discriminator(fake, fake_labels)
    adversarial = OBJECTIVES[experiment.objective.name].d_loss(of_real.score.float(), of_fake.score.float())
    loss, losses = adversarial, {"d_loss": adversarial}
    if experiment.objective.gradient_penalty:
        penalty = gradient_penalty(
            lambda points: discriminator(points, labels).score, real, fake, state.noise
        )
        loss = loss + experiment.objective.gradient_penalty * penalty
        losses["gradient_penalty"] = penalty
    if experiment.conditional:
        of_class = _discriminator_class_loss(experiment, of_real, labels, of_fake, fake_labels)
        loss = loss + experiment.conditioning.d_scale * of_class
        losses["d_class_loss"] = of_class
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    state.discriminator_optimizer.step()
    state.meter.add(**losses, d_real_score=of_real.score.mean(), d_fake_score=of_fake.score.mean())


def _discriminator_class_loss(
    experiment: Experiment,
    of_real: DiscriminatorOutput,
    labels: Tensor,
    of_fake: DiscriminatorOutput,
    fake_labels: Tensor,
) -> Tensor:
    """The class loss on real images, plus the one on fakes where `conditioning.on_fakes` asks for it."""
    loss = class_loss(of_real.class_logits, labels)
    if experiment.conditioning.on_fakes:
        loss = loss + class_loss(of_fake.class_logits, fake_labels)
    return loss


def _update_generator(state: TrainingState, fake: Tensor, fake_labels: Tensor | None) -> None:
    experiment = state.experiment
    with _autocast(state):
        output = state.discriminator(fake, fake_labels)
    adversarial = OBJECTIVES[experiment.objective.name].g_loss(output.score.float())
    loss, losses = adversarial, {"g_loss": adversarial}
    if experiment.conditional:
        of_class = class_loss(output.class_logits, fake_labels)
        loss = loss + experiment.conditioning.g_scale * of_class
        losses["g_class_loss"] = of_class
    state.generator_optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=list(state.generator.parameters()))  # D's own gradients are not computed
    state.generator_optimizer.step()
    if state.average:
        state.average.update(state.generator)
    state.meter.add(**losses)


def _autocast(state: TrainingState) -> torch.autocast:
    """For one forward pass: autocast keeps 16-bit copies of the weights, so it must end before a step."""
    enabled = state.experiment.precision == "bf16" and state.device.type == "cuda"
    return torch.autocast(state.device.type, dtype=torch.bfloat16, enabled=enabled)
