"""Haar wavelet packets of images, and their means and covariances, packet by packet."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from gan_core.errors import EvaluationError
from gan_core.evaluation.metrics.base import Batch, Gatherer
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, frechet_distance

# The published figures are of 256 pixels at level 4: packets of 16 by 16. Smaller images have fewer levels,
# and packets of the same side.
PACKET_SIDE = 16
MOST_LEVELS = 4
# So many numbers wait for their covariance.
BLOCK_VALUES = 8_000_000


def levels_of(height: int, width: int) -> int:
    """How often images are halved: until their smaller side is 16, but once at least and four times at
    most."""
    levels = int(np.log2(max(min(height, width) / PACKET_SIDE, 2)))
    return min(levels, MOST_LEVELS)


def haar_packets(images: torch.Tensor, levels: int) -> torch.Tensor:
    """Packets (N, 4^levels, C, H / 2^levels, W / 2^levels) of images (N, C, H, W), in natural order.

    The transform is orthonormal: sums and differences of neighbours over sqrt 2, along both sides, of every
    packet again. A side that does not divide is continued by its last row or column.
    """
    step = 2**levels
    bottom, right = -images.shape[-2] % step, -images.shape[-1] % step
    if bottom or right:
        images = functional.pad(images, (0, right, 0, bottom), mode="replicate")
    packets = images[:, None]
    for _ in range(levels):
        packets = torch.stack(
            [part for columns in _halves(packets, -1) for part in _halves(columns, -2)], dim=2
        ).flatten(1, 2)
    return packets


def _halves(values: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums and differences of neighbours along a side, each of half its length."""
    even, odd = values.unflatten(side, (-1, 2)).unbind(side)
    return (even + odd) / 2**0.5, (even - odd) / 2**0.5


@dataclass(frozen=True)
class PacketMoments:
    """`mu` (P, D) and `sigma` (P, D, D) in float64 of each packet's coefficients, of `count` images."""

    mu: np.ndarray
    sigma: np.ndarray
    count: int

    def __iter__(self):
        return (Gaussian(mu, sigma, self.count) for mu, sigma in zip(self.mu, self.sigma, strict=True))


class GatheredPackets(Gatherer):
    """The moments of the packets of images, uint8 (B, C, H, W), whose values count from 0 to 1.

    Blocks are centred on their own mean in float64 and merged, as `Moments` does for features.
    """

    def __init__(self) -> None:
        self.count, self.waiting = 0, 0
        self.blocks: list[torch.Tensor] = []
        self.shape: torch.Size | None = None
        self.mean = self.scatter = None

    def update(self, batch: Batch) -> None:
        images = batch.images
        self.shape = self.shape or images.shape[1:]
        if images.shape[1:] != self.shape:
            raise EvaluationError(
                f"images of {tuple(images.shape[1:])} do not add to those of {tuple(self.shape)}: bring "
                "all to one size"
            )
        packets = haar_packets(images.double() / 255, levels_of(*self.shape[1:]))
        self.blocks.append(packets.flatten(2))
        self.waiting += packets.numel()
        if self.waiting >= BLOCK_VALUES:
            self._merge()

    def finish(self) -> PacketMoments:
        if self.blocks:
            self._merge()
        if self.count < 2:
            raise EvaluationError(
                f"a covariance needs at least 2 images, but there is {self.count}: evaluate more images"
            )
        return PacketMoments(self.mean.numpy().copy(), (self.scatter / (self.count - 1)).numpy(), self.count)

    def _merge(self) -> None:
        block = torch.cat(self.blocks).transpose(0, 1).cpu()
        self.blocks, self.waiting = [], 0
        count = block.shape[1]
        mean = block.mean(dim=1)
        centred = block - mean[:, None]
        if self.mean is None:
            self.mean, self.scatter = torch.zeros_like(mean), mean.new_zeros(*mean.shape, mean.shape[1])
        self.scatter.baddbmm_(centred.transpose(1, 2), centred)
        delta = mean - self.mean
        total = self.count + count
        self.scatter.baddbmm_(delta[:, :, None], delta[:, None, :], alpha=self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total


@dataclass(frozen=True)
class PacketReference:
    """The real images' packets: `mu` (P, D), `sigma` and its root `sigma_sqrt` (P, D, D), in float64."""

    mu: np.ndarray
    sigma: np.ndarray
    sigma_sqrt: np.ndarray
    count: int

    @classmethod
    def of(cls, moments: PacketMoments) -> "PacketReference":
        roots = np.stack([FrechetReference.of(gaussian).sigma_sqrt for gaussian in moments])
        return cls(moments.mu, moments.sigma, roots, moments.count)

    def __iter__(self):
        parts = zip(self.mu, self.sigma, self.sigma_sqrt, strict=True)
        return (FrechetReference(*part, self.count) for part in parts)


def packet_distances(reference: PacketReference, moments: PacketMoments) -> np.ndarray:
    """The Fréchet distance (P,) of each packet; images of another size are an `EvaluationError`."""
    if reference.mu.shape != moments.mu.shape:
        raise EvaluationError(
            f"packets of {reference.mu.shape} and of {moments.mu.shape} (number, size) do not compare: bring "
            "the real and the generated images to one size (`image_size`)"
        )
    return np.array([frechet_distance(*pair) for pair in zip(reference, moments, strict=True)])
