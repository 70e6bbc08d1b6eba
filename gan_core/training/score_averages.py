"""Moving averages of D's scores, which LeCam anchors D to."""

import torch
from torch import Tensor

from gan_core.training.processes.ranks import Ranks

DECAY = 0.99  # of the averages, by step of D (Tseng et al. 2021, section 4.1)
FIRST_STEP = 1_000  # of G; until then the averages are the last batch's means, and nothing is penalised


class ScoreAverages:
    """Scalars on the device: `real` and `fake`, the averages of D's mean scores of real and generated images,
    and `active`, 1 once they count, else 0.

    The schedule is that of the authors' code (google/lecam-gan): the averages begin to remember at step
    `FIRST_STEP`, and the penalty counts after it.
    """

    def __init__(self, device: torch.device):
        self.real, self.fake, self.active, self.keep = (torch.zeros((), device=device) for _ in range(4))

    def prepare(self, generator_step: int) -> None:
        """Before a step, the `generator_step`-th of G, counted from 1 (or one of D on the way to it)."""
        self.keep.fill_(DECAY if generator_step >= FIRST_STEP else 0.0)
        self.active.fill_(float(generator_step > FIRST_STEP))

    @torch.no_grad()
    def update(self, real_scores: Tensor, fake_scores: Tensor, ranks: Ranks) -> None:
        """Take in what D says in this step, float (B,) each, of all ranks."""
        means = [real_scores.mean(), fake_scores.mean()]
        ranks.average(means)
        for average, mean in zip((self.real, self.fake), means, strict=True):
            average.copy_(self.keep * average + (1 - self.keep) * mean)

    def state_dict(self) -> dict[str, Tensor]:
        return {"real": self.real, "fake": self.fake}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.real.copy_(state["real"])
        self.fake.copy_(state["fake"])
