"""LeCam: D's scores are held near moving averages of what it said of the other kind (Tseng et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_core.objectives.penalties.base import PENALTIES, Judged, Penalty
from gan_core.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(PENALTIES, "lecam")
class LeCam(Penalty):
    """Its weight is the paper's lambda. It looks at scores alone, so any norm may stand in D."""

    label = "lecam"
    usual = "0.3 in the authors' CIFAR-10 runs"
    per_image = False
    follows_scores = True

    @staticmethod
    def measure(judged: Judged) -> Tensor:
        averages = judged.score_averages
        penalty = lecam_penalty(judged.real_scores, judged.fake_scores, averages.real, averages.fake)
        return averages.active * penalty


def lecam_penalty(
    real_scores: Tensor, fake_scores: Tensor, real_average: Tensor, fake_average: Tensor
) -> Tensor:
    """Mean of relu(D(x) - a_fake)^2, plus mean of relu(a_real - D(G(z)))^2: a scalar.

    Scores float (B,), averages scalars without a gradient. As in the authors' code (google/lecam-gan), whose
    hinges leave the scores alone that have not crossed to the other side; the paper's equation 3 has none.
    """
    from torch.nn import functional

    of_real = functional.relu(real_scores - fake_average).square().mean()
    return of_real + functional.relu(real_average - fake_scores).square().mean()
