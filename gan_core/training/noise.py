"""The one source of random numbers of a run."""

import hashlib

import torch
from torch import Tensor

from gan_core.config import Latent
from gan_core.models.common import draw_latents
from gan_core.training.processes.ranks import Ranks


def stream_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose: with the same numbers for two of them, G would be trained on the very latents
    that it is measured by."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:6], "big")


class Noise:
    """Random tensors (count, ...) on `device`, from one generator whose state a checkpoint holds.

    Every rank draws for the whole batch and takes its share: all generators stay in step, and several
    processes draw what one would.
    """

    def __init__(self, seed: int, device: torch.device, ranks: Ranks):
        self.generator = torch.Generator(device).manual_seed(seed)
        self.device, self.ranks = device, ranks

    def normal(self, count: int, *shape: int) -> Tensor:
        """N(0, 1), float `(count, *shape)`."""
        size = (count * self.ranks.size, *shape)
        return self.ranks.share(torch.randn(size, generator=self.generator, device=self.device))

    def uniform(self, count: int, *shape: int) -> Tensor:
        """U(0, 1), float `(count, *shape)`."""
        size = (count * self.ranks.size, *shape)
        return self.ranks.share(torch.rand(size, generator=self.generator, device=self.device))

    def integers(self, high: int, count: int, *shape: int) -> Tensor:
        """0 to high - 1, int64 `(count, *shape)`."""
        size = (count * self.ranks.size, *shape)
        return self.ranks.share(torch.randint(high, size, generator=self.generator, device=self.device))

    def mask(self, like: Tensor, probability: float) -> Tensor:
        """1 with `probability`, else 0: of the shape, type and memory layout of `like`, (count, ...)."""
        mine = torch.empty_like(like, requires_grad=False)
        strides = (mine[0].numel(), *mine.stride()[1:])
        whole = mine.new_empty_strided((len(mine) * self.ranks.size, *mine.shape[1:]), strides)
        return self.ranks.share(whole.bernoulli_(probability, generator=self.generator))

    def latents(self, latent: Latent, count: int) -> Tensor:
        """Float (count, latent.size) of the latent's distribution."""
        return self.ranks.share(draw_latents(latent, count * self.ranks.size, self.generator))
