"""Goodfellow et al. 2014, section 3: G maximises log D(G(z))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.base import OBJECTIVES, AdversarialLoss
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(OBJECTIVES, "non_saturating")
class NonSaturating(AdversarialLoss):
    """Cross-entropies of D's scores s, of which log sigmoid(s) is -softplus(-s)."""

    smoothable = True

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        from torch.nn import functional

        of_real = functional.softplus(-real_scores).mean()
        if self.real_target != 1.0:
            wrong = functional.softplus(real_scores).mean()
            of_real = self.real_target * of_real + (1 - self.real_target) * wrong
        return of_real + functional.softplus(fake_scores).mean()

    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        from torch.nn import functional

        return functional.softplus(-fake_scores).mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> float:
        return 0.0
