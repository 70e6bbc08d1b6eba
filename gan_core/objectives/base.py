"""What an adversarial loss is. Nothing here imports torch before a loss is computed: definitions read the
flags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AdversarialLoss(ABC):
    """What D and G minimise, given D's scores: unbounded (no sigmoid), float (B,); higher is more real.

    A loss is a scalar tensor, the mean over the batch. `real_target` is D's target for real images where the
    loss has targets: below 1 it is one-sided label smoothing (Salimans et al. 2016, section 3.4).

    What the configuration's checks and the engine read: `smoothable`: the loss has targets. `needs_bound`: D
    is a critic that must be bounded (Lipschitz), may be so by `weight_clip`, and is not judged by how often
    it is right. `compares_pairs`: the loss is of D's scores for pairs of a real and a generated image, so
    that G's loss needs `real_scores` too.
    """

    real_target: float = 1.0

    smoothable: ClassVar[bool] = False
    needs_bound: ClassVar[bool] = False
    compares_pairs: ClassVar[bool] = False

    @abstractmethod
    def d_loss(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """What D minimises."""

    @abstractmethod
    def g_loss(self, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
        """What G minimises. `real_scores`, without a gradient, are there where the loss `compares_pairs`."""

    @abstractmethod
    def boundary(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor | float:
        """The score above which D takes an image for real: one number, or float (B,), one per pair."""


OBJECTIVES: dict[str, type[AdversarialLoss]] = {}
