"""The relativistic pairing loss (Jolicoeur-Martineau 2018), as in R3GAN (arXiv 2501.05441, equation 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.base import OBJECTIVES, AdversarialLoss
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(OBJECTIVES, "relativistic")
class Relativistic(AdversarialLoss):
    """D ranks each real image above its generated partner, G the other way round: only differences count.

    By itself it need not converge; with `r1` and `r2` it does locally (the paper's section 3.2).
    """

    compares_pairs = True

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.softplus(fake_scores - real_scores).mean()

    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        from torch.nn import functional

        return functional.softplus(real_scores - fake_scores).mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return (real_scores + fake_scores) / 2
