"""Lim and Ye 2017, as in SNGAN (Miyato et al. 2018, equations 16 and 17): D's margin is 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.base import OBJECTIVES, AdversarialLoss
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(OBJECTIVES, "hinge")
class Hinge(AdversarialLoss):
    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.relu(1 - real_scores).mean() + functional.relu(1 + fake_scores).mean()

    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        return -fake_scores.mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> float:
        return 0.0
