"""Moving averages of D's scores, which LeCam anchors D to."""

import torch
from torch import Tensor

from gan_core.training.processes.ranks import Ranks

DECAY = 0.99  # of the averages, by step of D (Tseng et al. 2021, section 4.1)
FIRST_STEP = 1_000  # of G; until then the averages are the last batch's means, and nothing is penalised


def memory_at(generator_step: int) -> dict[str, float]:
    """What `keep` and `active` are in the `generator_step`-th step of G, counted from 1, and in those of D on
    the way to it."""
    remembers, counts = generator_step >= FIRST_STEP, generator_step > FIRST_STEP
    return {"keep": DECAY if remembers else 0.0, "active": float(counts)}


class ScoreAverages:
    """Scalars on the device: `real` and `fake`, the averages of D's mean scores of real and generated images;
    `keep`, the share of them that outlasts a step; and `active`, 1 once they count, else 0.

    The last two are set before each step (`memory_at`). Their schedule is that of the authors' code
    (google/lecam-gan): the averages begin to remember at step `FIRST_STEP`, and the penalty counts after it.
    """

    def __init__(self, device: torch.device):
        self.real, self.fake, self.active, self.keep = (torch.zeros((), device=device) for _ in range(4))

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
