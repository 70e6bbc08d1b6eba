"""WGAN-GP's penalty on D's gradient between real and generated images (Gulrajani et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gan_core.objectives.penalties.base import PENALTIES, Judged, Penalty, score_gradients
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(PENALTIES, "gradient_penalty")
class GradientPenalty(Penalty):
    """Its weight is the paper's lambda."""

    label = "gp"
    usual = "10 in the paper"
    bounds_critic = True
    forbids_minibatch = True

    @staticmethod
    def measure(judged: Judged) -> Tensor:
        between = judged.noise.uniform(len(judged.real))
        return gradient_penalty(judged.score_as_real, judged.real, judged.fake, between)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, between: Tensor
) -> Tensor:
    """Mean of `(|grad of critic at x|_2 - 1)^2`, x between each real image and a fake one.

    `critic` maps images (B, C, H, W) to scores (B,); `between` (B,) in [0, 1] is each point's share of the
    real image, drawn uniformly. Gulrajani et al. 2017, algorithm 1, with one coefficient per image, without
    their factor lambda. In fp32 even under autocast: in 16 bits the squared norms overflow
    (PyTorch-StudioGAN#175).
    """
    import torch

    with torch.autocast(real.device.type, enabled=False):
        share = between.view(-1, *(1,) * (real.dim() - 1))
        points = torch.lerp(fake.detach().float(), real.detach().float(), share)
        return (score_gradients(critic, points).norm(dim=1) - 1).square().mean()
