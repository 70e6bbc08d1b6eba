"""Arjovsky et al. 2017: the difference of means, an estimate of -W1 where D is 1-Lipschitz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.base import OBJECTIVES, AdversarialLoss
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(OBJECTIVES, "wasserstein")
class Wasserstein(AdversarialLoss):
    """A critic's scores have no zero: an image counts as real above the middle of the two means."""

    needs_bound = True

    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean() - real_scores.mean()

    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        return -fake_scores.mean()

    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return (real_scores.mean() + fake_scores.mean()) / 2
