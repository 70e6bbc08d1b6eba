"""One training step: an update of D on a batch of real images and, every `n_critic`-th time, one of G."""

import contextlib
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from gan_core.config import Experiment
from gan_core.models.common import DiscriminatorOutput
from gan_core.numerics import without_tf32
from gan_core.objectives import PENALTIES, class_loss, clip_weights
from gan_core.objectives.penalties import Judged
from gan_core.training.augmentation import as_seen, real_batch
from gan_core.training.optimizers import learning_rate_factor, set_learning_rates, share_left
from gan_core.training.state import TrainingState


def train_step(state: TrainingState, images: Tensor, labels: Tensor | None, total_images: int) -> None:
    """Advance `state` by one batch: uint8 (B, C, H, W) real images and their int64 (B,) labels.

    Of several ranks each gets its share of the batch. Nothing here waits for the device.
    """
    updates_generator = prepare_step(state, total_images)
    losses = update_networks(state, images, labels, updates_generator)
    state.meter.add(losses)
    finish_step(state, len(images) * state.ranks.size)


def prepare_step(state: TrainingState, total_images: int) -> bool:
    """Set what the next step reads from outside: rates and the noise level. Whether it updates G."""
    factor = learning_rate_factor(state.experiment, state.images_seen, total_images)
    set_learning_rates(state.optimizers, state.experiment, factor)
    state.noise_level.fill_(share_left(state.images_seen, total_images))
    return (state.step + 1) % state.experiment.n_critic == 0


def finish_step(state: TrainingState, count: int) -> None:
    """Count the step of `count` real images."""
    state.step += 1
    state.images_seen += count


def update_networks(
    state: TrainingState, images: Tensor, labels: Tensor | None, updates_generator: bool
) -> dict[str, Tensor]:
    """The work of a step on the device; the losses and scores as scalar tensors, by name.

    The fakes are made once: where G is updated after this update of D, they keep their graph and D's new
    weights judge them again, as in PyTorch's DCGAN example; otherwise they are made without a graph.
    """
    real = real_batch(images, state.experiment, state.noise)
    with torch.set_grad_enabled(updates_generator):
        fake, fake_labels = _make_fakes(state, len(images))
    losses = _update_discriminator(state, real, labels, fake.detach(), fake_labels)
    if updates_generator:
        losses |= _update_generator(state, real, labels, fake, fake_labels)
    return losses


def _make_fakes(state: TrainingState, count: int) -> tuple[Tensor, Tensor | None]:
    z = state.noise.latents(state.experiment.latent, count)
    n_classes = state.generator.n_classes
    labels = state.noise.integers(n_classes, count) if n_classes else None
    with _autocast(state):
        return state.generator(z, labels), labels


def _as_seen(state: TrainingState, images: Tensor) -> Tensor:
    return as_seen(images, state.experiment, state.noise, state.noise_level)


def _update_discriminator(
    state: TrainingState, real: Tensor, labels: Tensor | None, fake: Tensor, fake_labels: Tensor | None
) -> dict[str, Tensor]:
    experiment = state.experiment
    real, fake = _as_seen(state, real), _as_seen(state, fake)
    with _autocast(state):
        of_real, of_fake = _discriminate(state, real, labels, fake, fake_labels)
    real_scores, fake_scores = of_real.score.float(), of_fake.score.float()
    adversarial = state.objective.d_loss(real_scores, fake_scores)
    score_as = functools.partial(_score_as, state)
    judged = Judged(
        real, fake, real_scores, fake_scores, score_as(labels), score_as(fake_labels), state.noise
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

    In one batch, which is faster. But in two where an image's neighbours matter, as under batch norm (Radford
    et al. 2016, and the authors' code), or where each of several ranks draws a dropout mask for its share.
    """
    if not state.discriminator.judges_images_alone or state.experiment.architecture.dropout:
        return state.discriminator(real, labels), state.discriminator(fake, fake_labels)
    both_labels = None if fake_labels is None else torch.cat([labels, fake_labels])
    of_both = state.discriminator(torch.cat([real, fake]), both_labels)
    halves = zip(*((None, None) if part is None else part.chunk(2) for part in of_both), strict=True)
    of_real, of_fake = (DiscriminatorOutput(*half) for half in halves)
    return of_real, of_fake


def _penalties(state: TrainingState, judged: Judged) -> tuple[Tensor | float, dict[str, Tensor]]:
    """The weighted sum of the penalties on D, and each without its weight."""
    total, penalties = 0.0, {}
    for name, weight in state.experiment.objective.penalties.items():
        penalty = PENALTIES[name]
        penalties[name] = penalty.measure(judged)
        total = total + weight * penalty.factor * penalties[name]
    return total, penalties


def _score_as(state: TrainingState, labels: Tensor | None) -> Callable[[Tensor], Tensor]:
    """D's scores of any images, under these labels."""
    return lambda images: state.discriminator(images, labels).score


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
    """D's mean scores, and the shares of the real and of the generated images that it gets right."""
    boundary = state.objective.boundary(real, fake)
    if isinstance(boundary, Tensor) and boundary.dim() == 0:  # a pair's own is not for other ranks
        state.ranks.average([boundary])
    return {
        "d_real_score": real.mean(),
        "d_fake_score": fake.mean(),
        "d_real_accuracy": (real > boundary).float().mean(),
        "d_fake_accuracy": (fake < boundary).float().mean(),
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
    """What D, as it is now, says of the step's real images, seen anew: the partners of G's."""
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
    """For one forward pass: autocast keeps 16-bit copies of the weights, so it must end before a step."""
    enabled = state.experiment.precision == "bf16" and state.device.type == "cuda"
    return torch.autocast(state.device.type, dtype=torch.bfloat16, enabled=enabled)
