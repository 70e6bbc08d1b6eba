"""R1: the squared norm of D's gradient on real images (Mescheder et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gan_core.objectives.penalties.base import PENALTIES, Judged, Penalty, score_gradients
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(PENALTIES, "r1")
class R1(Penalty):
    """Its weight is the paper's gamma, which counts half."""

    label = "r1"
    usual = "10 in the paper"
    factor = 0.5

    @staticmethod
    def measure(judged: Judged) -> Tensor:
        return r1_penalty(judged.score_as_real, judged.real)


def r1_penalty(critic: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean of `|grad of critic at x|_2^2` over the real images x (B, C, H, W), in fp32.

    Mescheder et al. 2018, equation 9, without their factor gamma / 2.
    """
    import torch

    with torch.autocast(real.device.type, enabled=False):
        return score_gradients(critic, real.detach().float()).square().sum(dim=1).mean()
