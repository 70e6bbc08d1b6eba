"""R1: the squared norm of D's gradient on real images (Mescheder et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.penalties.base import PENALTIES, Judged, Penalty, squared_gradients
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(PENALTIES, "r1")
class R1(Penalty):
    """Its weight is the paper's gamma, which counts half."""

    label = "r1"
    usual = "10 in the paper"
    factor = 0.5
    at_images = True

    @staticmethod
    def measure(judged: Judged) -> Tensor:
        return squared_gradients(judged.score_as_real, judged.real, judged.real_points)
