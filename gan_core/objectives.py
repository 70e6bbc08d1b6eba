"""What the two networks minimise: adversarial losses by name, penalties, the class losses.

A new adversarial loss is a class with `d_loss`, `g_loss` and `boundary`, and one entry in `OBJECTIVES`.
Scores are unbounded (no sigmoid), float (B,); a loss is a scalar tensor, the mean over the batch.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from gan_core.config import Objective


class AdversarialLoss(Protocol):
    """What D minimises given its scores, what G minimises given D's scores of its images, and the score
    above which D takes an image for real."""

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor: ...

    def g_loss(self, fake_scores: Tensor) -> Tensor: ...

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor | float: ...


@dataclass(frozen=True)
class NonSaturating:
    """Goodfellow et al. 2014, section 3: G maximises log D(G(z)). log sigmoid(s) is -softplus(-s).

    D's cross-entropy has `real_target` for real images: below 1 it is one-sided label smoothing (Salimans et
    al. 2016, section 3.4).
    """

    real_target: float = 1.0

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        of_real = functional.softplus(-real_scores).mean()
        if self.real_target != 1.0:
            wrong = functional.softplus(real_scores).mean()
            of_real = self.real_target * of_real + (1 - self.real_target) * wrong
        return of_real + functional.softplus(fake_scores).mean()

    def g_loss(self, fake_scores: Tensor) -> Tensor:
        return functional.softplus(-fake_scores).mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> float:
        return 0.0


class Minimax(NonSaturating):
    """Goodfellow et al. 2014, equation 1: G minimises log(1 - D(G(z))), flat where D wins."""

    def g_loss(self, fake_scores: Tensor) -> Tensor:
        return -functional.softplus(fake_scores).mean()


@dataclass(frozen=True)
class LeastSquares:
    """Mao et al. 2017, equation 9, with targets 0 (fake), `real_target` (real) and 1 (for G)."""

    real_target: float = 1.0

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return 0.5 * ((real_scores - self.real_target).square().mean() + fake_scores.square().mean())

    def g_loss(self, fake_scores: Tensor) -> Tensor:
        return 0.5 * (fake_scores - 1).square().mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> float:
        return 0.5 * self.real_target


@dataclass(frozen=True)
class Wasserstein:
    """Arjovsky et al. 2017: the difference of means, an estimate of -W1 where D is 1-Lipschitz.

    A critic's scores have no zero: an image counts as real above the middle of the two means.
    """

    real_target: float = 1.0

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean() - real_scores.mean()

    def g_loss(self, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return (real_scores.mean() + fake_scores.mean()) / 2


class Hinge(Wasserstein):
    """Lim and Ye 2017, as in SNGAN (Miyato et al. 2018, equations 16 and 17): D's margin is 1."""

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return functional.relu(1 - real_scores).mean() + functional.relu(1 + fake_scores).mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> float:
        return 0.0


OBJECTIVES: dict[str, type] = {
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
}


def build_objective(config: Objective) -> AdversarialLoss:
    """The adversarial loss of a configuration."""
    return OBJECTIVES[config.name](real_target=1.0 - config.label_smoothing)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, between: Tensor
) -> Tensor:
    """Mean of (|grad of critic at x|_2 - 1)^2, x between each real image and a fake one.

    `critic` maps images (B, C, H, W) to scores (B,); `between` (B,) in [0, 1] is each point's share of the
    real image, drawn uniformly. Gulrajani et al. 2017, algorithm 1, with one coefficient an image, without
    their factor lambda. In fp32 even under autocast: in 16 bits the squared norms overflow
    (PyTorch-StudioGAN#175).
    """
    with torch.autocast(real.device.type, enabled=False):
        share = between.view(-1, *(1,) * (real.dim() - 1))
        points = torch.lerp(fake.detach().float(), real.detach().float(), share)
        return (_gradients(critic, points).norm(dim=1) - 1).square().mean()


def r1_penalty(critic: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean of |grad of critic at x|_2^2 over the real images x (B, C, H, W), in fp32.

    Mescheder et al. 2018, equation 9, without their factor gamma / 2.
    """
    with torch.autocast(real.device.type, enabled=False):
        return _gradients(critic, real.detach().float()).square().sum(dim=1).mean()


@torch.no_grad()
def clip_weights(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Bring every weight into [-bound, bound] (Arjovsky et al. 2017, algorithm 1), in one call."""
    parameters = list(parameters)
    torch._foreach_clamp_min_(parameters, -bound)
    torch._foreach_clamp_max_(parameters, bound)


def class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """ACGAN's -log P(class = label | image), mean over the batch (Odena et al. 2017, equation 3).

    `class_logits` float (B, n_classes) before any softmax, `labels` int64 (B,): the cross-entropy has the
    one softmax that there is.
    """
    return functional.cross_entropy(class_logits.float(), labels)


def _gradients(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """The critic's gradient at each of the points (B, ...), flat: (B, values of an image)."""
    points = points.requires_grad_()
    (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradients.flatten(start_dim=1)
