"""Goodfellow et al. 2014, equation 1: G minimises log(1 - D(G(z))), flat where D wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.base import OBJECTIVES
from gan_core.objectives.non_saturating import NonSaturating
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(OBJECTIVES, "minimax")
class Minimax(NonSaturating):
    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        from torch.nn import functional

        return -functional.softplus(fake_scores).mean()
