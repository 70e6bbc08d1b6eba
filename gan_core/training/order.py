"""The order in which real images are shown: an endless sequence of shuffled epochs that a seed fixes."""

import numpy as np
import torch
from torch import Tensor


class EpochOrder:
    """Image numbers in training order, as a function of the place in the run alone.

    The order is one permutation of all `count` images after the other, each from a generator seeded by
    (seed, epoch). Batches are cut from this sequence without regard to epochs, so a batch may hold the end
    of one epoch and the beginning of the next: all batches have one size, no image is left out, and every
    image is shown exactly once an epoch. The place is the number of images seen: nothing else needs saving.
    """

    def __init__(self, count: int, seed: int, device: torch.device | str = "cpu"):
        self.count, self.seed, self.device = count, seed, device
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, start: int, size: int) -> Tensor:
        """The image numbers at places start to start + size of the sequence: int64 (size,) on `device`."""
        parts = []
        while size:
            epoch, place = divmod(start, self.count)
            part = self._of_epoch(epoch)[place : place + size]
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _of_epoch(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            permutation = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            self._epoch, self._permutation = epoch, torch.from_numpy(permutation).to(self.device)
        return self._permutation
