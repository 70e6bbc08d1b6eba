"""A probability of augmentation that follows D's overfitting (StyleGAN2-ADA, Karras et al. 2020)."""

import torch
from torch import Tensor

from gan_core.training.processes.ranks import Ranks

STEPS = 4  # of D between two adjustments
IMAGES = 500_000  # seen on the way from probability 0 to 1


def change_after(steps: int, batch_size: int) -> dict[str, float]:
    """By how much the probability moves before the step that comes after so many of D: 0 between two
    adjustments."""
    is_due = steps > 0 and steps % STEPS == 0
    return {"change": STEPS * batch_size / IMAGES if is_due else 0.0}


class AdaptiveAugmentation:
    """`probability`, a scalar on the device, rises while D recognises its training images too surely.

    The measure is the paper's r_t = E[sign(D(real))], over the last `STEPS` steps: of D's scores of the
    images as it sees them, above or below its boundary. Above `target` the probability rises, below it falls,
    by `STEPS` steps' images / `IMAGES` at a time; it stays in [0, 1]. `change` is set before each step
    (`change_after`).
    """

    def __init__(self, start: float, target: float, device: torch.device):
        self.target = target
        self.probability = torch.full((), start, device=device)
        self.signs = torch.zeros((), device=device)  # the sum of the steps' means since the last adjustment
        self.change = torch.zeros((), device=device)

    @torch.no_grad()
    def update(self, real_scores: Tensor, boundary: Tensor | float, ranks: Ranks) -> None:
        """Take in D's scores of a step's real images, float (B,), of all ranks."""
        mean = (real_scores - boundary).sign().mean()
        ranks.average([mean])
        self.signs.add_(mean)

    @torch.no_grad()
    def adjust(self) -> None:
        """At the beginning of a step; it does nothing where `change` is 0."""
        self.probability.add_((self.signs / STEPS - self.target).sign() * self.change).clamp_(0, 1)
        self.signs.masked_fill_(self.change > 0, 0)

    def state_dict(self) -> dict[str, Tensor]:
        return {"probability": self.probability, "signs": self.signs}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.probability.copy_(state["probability"])
        self.signs.copy_(state["signs"])
