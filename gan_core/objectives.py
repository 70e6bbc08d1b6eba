"""What the two networks minimise: adversarial losses by name, the gradient penalty, the class losses.

A new adversarial loss is a class with `d_loss` and `g_loss` and one entry in `OBJECTIVES`. Scores are
unbounded (no sigmoid), float (B,); a loss is a scalar tensor, the mean over the batch.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class AdversarialLoss(Protocol):
    """What D minimises given its scores, and what G minimises given D's scores of its images."""

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor: ...

    def g_loss(self, fake_scores: Tensor) -> Tensor: ...


class NonSaturating:
    """Goodfellow et al. 2014, section 3: G maximises log D(G(z)). log sigmoid(s) is -softplus(-s)."""

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return functional.softplus(-real_scores).mean() + functional.softplus(fake_scores).mean()

    def g_loss(self, fake_scores: Tensor) -> Tensor:
        return functional.softplus(-fake_scores).mean()


class Wasserstein:
    """Arjovsky et al. 2017: the difference of means, an estimate of -W1 where D is 1-Lipschitz."""

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean() - real_scores.mean()

    def g_loss(self, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()


OBJECTIVES: dict[str, AdversarialLoss] = {"non_saturating": NonSaturating(), "wasserstein": Wasserstein()}


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean of (|grad of critic at x|_2 - 1)^2, x uniform between each real image and a fake one.

    `critic` maps images (B, C, H, W) to scores (B,). Gulrajani et al. 2017, algorithm 1, with one
    coefficient an image, without their factor lambda. In fp32 even under autocast: in 16 bits the squared
    norms overflow (PyTorch-StudioGAN#175).
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = real.detach().float(), fake.detach().float()
        shape = (len(real),) + (1,) * (real.dim() - 1)
        between = torch.rand(shape, generator=generator, device=real.device)
        points = torch.lerp(fake, real, between).requires_grad_()
        (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        norms = gradients.flatten(start_dim=1).norm(dim=1)
        return (norms - 1).square().mean()


def class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """ACGAN's -log P(class = label | image), mean over the batch (Odena et al. 2017, equation 3).

    `class_logits` float (B, n_classes) before any softmax, `labels` int64 (B,): the cross-entropy has the
    one softmax that there is.
    """
    return functional.cross_entropy(class_logits.float(), labels)
