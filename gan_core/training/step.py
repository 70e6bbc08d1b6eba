"""One training step: an update of D on a batch of real images and, where it is due, one of G."""

import contextlib
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from gan_core.config import Experiment
from gan_core.data.feed import Batch
from gan_core.models.common import DiscriminatorOutput
from gan_core.numerics import without_tf32
from gan_core.objectives import PENALTIES, class_loss, clip_weights
from gan_core.objectives.penalties import Judged
from gan_core.training.augmentation import as_seen, real_batch
from gan_core.training.critic_steps import updates_generator
from gan_core.training.optimizers import set_betas, set_rate
from gan_core.training.precision import autocast
from gan_core.training.schedules import rate_of, scheduled_betas, step_values
from gan_core.training.state import TrainingState


def train_step(
    state: TrainingState,
    images: Tensor,
    labels: Tensor | None,
    total_images: int,
    fresh: Batch | None = None,
) -> None:
    """Advance `state` by one batch: uint8 (B, C, H, W) real images and their int64 (B,) labels.

    `fresh` are as many real images and labels that D was not updated on in this step: what G's fakes are
    compared with where the loss `compares_pairs`. Without them it is the step's own.

    Of several ranks each gets its share of the batch. Nothing here waits for the device.
    """
    with_generator = prepare_step(state, total_images)
    losses = update_networks(state, images, labels, with_generator, fresh)
    state.meter.add(losses)
    finish_step(state, len(images) * state.ranks.size)


def prepare_step(state: TrainingState, total_images: int) -> bool:
    """Set what the next step reads from outside: rates, schedules, the noise level. Whether it updates G."""
    values = step_values(state.experiment, state.step, state.images_seen, total_images)
    for network, optimizer in state.optimizers.items():
        set_rate(optimizer, values.pop(rate_of(network)))
        if betas := scheduled_betas(state.experiment, network, state.images_seen, total_images):
            set_betas(optimizer, betas)
    for name, scalar in state.moving.items():
        scalar.fill_(values[name])
    return updates_generator(state.experiment, state.step + 1)


def finish_step(state: TrainingState, count: int) -> None:
    """Count the step of `count` real images."""
    state.step += 1
    state.images_seen += count


def update_networks(
    state: TrainingState,
    images: Tensor,
    labels: Tensor | None,
    with_generator: bool,
    fresh: Batch | None = None,
) -> dict[str, Tensor]:
    """The work of a step on the device; the losses and scores as scalar tensors, by name.

    The fakes are made once: where G is updated after this update of D, they keep their graph and D's new
    weights judge them again, as in PyTorch's DCGAN example; otherwise they are made without a graph. With
    `fresh_fakes` G's update makes its own, `generator_batch_factor` times as many, as in the code of WGAN's
    and WGAN-GP's authors.
    """
    experiment, count = state.experiment, len(images)
    if state.adaptive_augmentation:
        state.adaptive_augmentation.adjust()
    real = real_batch(images, experiment, state.noise)
    with torch.set_grad_enabled(with_generator and not experiment.fresh_fakes):
        fake, fake_labels = _make_fakes(state, count)
    losses = _update_discriminator(state, real, labels, fake.detach(), fake_labels)
    if with_generator:
        if experiment.fresh_fakes:
            fake, fake_labels = _make_fakes(state, count * experiment.generator_batch_factor)
        if fresh:
            real, labels = real_batch(fresh[0], experiment, state.noise), fresh[1]
        losses |= _update_generator(state, real, labels, fake, fake_labels)
    return losses


def _make_fakes(state: TrainingState, count: int) -> tuple[Tensor, Tensor | None]:
    z = state.noise.latents(state.experiment.latent, count)
    n_classes = state.generator.n_classes
    labels = state.noise.integers(n_classes, count) if n_classes else None
    with _autocast(state):
        return state.generator(z, labels), labels


def _as_seen(state: TrainingState, images: Tensor) -> Tensor:
    return as_seen(images, state.experiment, state.noise, state.noise_level, state.augmentation_probability)


def _update_discriminator(
    state: TrainingState, real: Tensor, labels: Tensor | None, fake: Tensor, fake_labels: Tensor | None
) -> dict[str, Tensor]:
    experiment = state.experiment
    real_points, fake_points = _penalty_points(state, real), _penalty_points(state, fake)
    real = _as_seen(state, real if real_points is None else real_points)
    fake = _as_seen(state, fake if fake_points is None else fake_points)
    with _autocast(state):
        of_real, of_fake = _discriminate(state, real.detach(), labels, fake.detach(), fake_labels)
    real_scores, fake_scores = of_real.score.float(), of_fake.score.float()
    adversarial = state.objective.d_loss(real_scores, fake_scores)
    if state.score_averages:
        state.score_averages.update(real_scores.detach(), fake_scores.detach(), state.ranks)
    score_as = functools.partial(_score_as, state)
    judged = Judged(
        real,
        fake,
        real_scores,
        fake_scores,
        score_as(labels),
        score_as(fake_labels),
        state.noise,
        real_points,
        fake_points,
        state.score_averages,
    )
    with without_tf32():
        penalty, penalties = _penalties(state, judged)
    loss, losses = adversarial + penalty, {"d_loss": adversarial, **penalties}
    if experiment.conditioning.name == "acgan":
        of_class = _discriminator_class_loss(experiment, of_real, labels, of_fake, fake_labels)
        loss = loss + experiment.conditioning.d_scale * of_class
        losses["d_class_loss"] = of_class
    with without_tf32() if penalties else contextlib.nullcontext():  # their second gradients, too
        _descend(state, "discriminator", loss)
    if experiment.objective.weight_clip:
        clip_weights(state.discriminator.parameters(), experiment.objective.weight_clip)
    return losses | _scores(state, real_scores.detach(), fake_scores.detach())


def _discriminate(
    state: TrainingState, real: Tensor, labels: Tensor | None, fake: Tensor, fake_labels: Tensor | None
) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
    """What D says of the real and of the generated images.

    In one batch, which is faster; under spectral norm both are then judged after the same one step of the
    power iteration, where two batches would take two. But in two where an image's neighbours matter, as under
    batch norm (Radford et al. 2016, and the authors' code), or where each of several ranks draws a dropout
    mask for its share.
    """
    if not state.discriminator.judges_images_alone or state.experiment.architecture.dropout:
        return state.discriminator(real, labels), state.discriminator(fake, fake_labels)
    both_labels = None if fake_labels is None else torch.cat([labels, fake_labels])
    of_both = state.discriminator(torch.cat([real, fake]), both_labels)
    halves = zip(*((None, None) if part is None else part.chunk(2) for part in of_both), strict=True)
    of_real, of_fake = (DiscriminatorOutput(*half) for half in halves)
    return of_real, of_fake


def _penalty_points(state: TrainingState, images: Tensor) -> Tensor | None:
    """The images as they are before augmentation, where D's gradient is taken there."""
    if state.experiment.objective.gradients_at == "augmented":
        return None
    return images.detach().float().requires_grad_()


def _penalties(state: TrainingState, judged: Judged) -> tuple[Tensor | float, dict[str, Tensor]]:
    """The weighted sum of the penalties on D, and each without its weight."""
    total, penalties = 0.0, {}
    for name, weight in state.experiment.objective.penalties.items():
        penalty = PENALTIES[name]
        penalties[name] = penalty.measure(judged)
        weight = state.scheduled.get(name, weight)
        total = total + weight * penalty.factor * penalties[name]
    return total, penalties


def _score_as(state: TrainingState, labels: Tensor | None) -> Callable[[Tensor], Tensor]:
    """D's scores of any images, under these labels, in the precision of penalties."""
    wanted = state.experiment.penalty_precision
    precision = state.precision if wanted == "bf16" else "fp32"

    def scores(images: Tensor) -> Tensor:
        with autocast(precision, state.device):
            return state.discriminator(images, labels).score

    return scores


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


def _scores(state: TrainingState, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """D's mean scores, and the shares of the real and of the generated images that it gets right; where the
    augmentation follows them, its probability."""
    boundary = state.objective.boundary(real, fake)
    if isinstance(boundary, Tensor) and boundary.dim() == 0:  # a pair's own is not for other ranks
        state.ranks.average([boundary])
    measured = {}
    if state.adaptive_augmentation:
        state.adaptive_augmentation.update(real, boundary, state.ranks)
        measured["augmentation_probability"] = state.adaptive_augmentation.probability.clone()
    return {
        "d_real_score": real.mean(),
        "d_fake_score": fake.mean(),
        "d_real_accuracy": (real > boundary).float().mean(),
        "d_fake_accuracy": (fake < boundary).float().mean(),
        **measured,
    }


def _update_generator(
    state: TrainingState, real: Tensor, labels: Tensor | None, fake: Tensor, fake_labels: Tensor | None
) -> dict[str, Tensor]:
    experiment = state.experiment
    seen = _as_seen(state, fake)
    with _autocast(state):
        output = state.discriminator(seen, fake_labels)
    real_scores = _real_scores(state, real, labels) if state.objective.compares_pairs else None
    adversarial = state.objective.g_loss(output.score.float(), real_scores)
    loss, losses = adversarial, {"g_loss": adversarial}
    if experiment.conditioning.name == "acgan":
        of_class = class_loss(output.class_logits, fake_labels)
        loss = loss + experiment.conditioning.g_scale * of_class
        losses["g_class_loss"] = of_class
    _descend(state, "generator", loss)
    if state.ema:
        state.ema.update(state.generator)
    return losses


@torch.no_grad()
def _real_scores(state: TrainingState, real: Tensor, labels: Tensor | None) -> Tensor:
    """What D, as it is now, says of real images: the partners of G's."""
    with _autocast(state):
        return state.discriminator(_as_seen(state, real), labels).score.float()


def _descend(state: TrainingState, network: str, loss: Tensor) -> None:
    """One optimiser step of one network; the other network's gradients are not computed."""
    parameters = list(getattr(state, network).parameters())
    optimizer = state.optimizers[network]
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    state.ranks.average([parameter.grad for parameter in parameters if parameter.grad is not None])
    optimizer.step()


def _autocast(state: TrainingState) -> torch.autocast:
    return autocast(state.precision, state.device)
