"""R2: the squared norm of D's gradient on generated images (Mescheder et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.penalties.base import PENALTIES, Judged, Penalty, squared_gradients
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(PENALTIES, "r2")
class R2(Penalty):
    """Its weight is the paper's gamma, which counts half. R3GAN (arXiv 2501.05441) has it beside `r1`."""

    label = "r2"
    usual = "that of r1, in R3GAN"
    factor = 0.5
    at_images = True

    @staticmethod
    def measure(judged: Judged) -> Tensor:
        return squared_gradients(judged.score_as_fake, judged.fake, judged.fake_points)
