"""Mao et al. 2017, equation 9, with targets 0 (fake), `real_target` (real) and 1 (for G)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.base import OBJECTIVES, AdversarialLoss
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(OBJECTIVES, "least_squares")
class LeastSquares(AdversarialLoss):
    smoothable = True

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return 0.5 * ((real_scores - self.real_target).square().mean() + fake_scores.square().mean())

    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        return 0.5 * (fake_scores - 1).square().mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> float:
        return 0.5 * self.real_target
