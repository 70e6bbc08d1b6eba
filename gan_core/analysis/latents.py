"""Paths between latents, and sums of them.

Shoemake 1985, "Animating rotation with quaternion curves" (SIGGRAPH), for the great circle; White 2016,
"Sampling Generative Networks" (arXiv 1609.04468), for why a generator is given one: latents from N(0, 1) lie
near a sphere of radius sqrt(z_dim), and the middle of a straight line between two of them lies well inside.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gan_core.config import Latent

# Nearer than this to the same or to opposite directions, there is no great circle to follow in floats.
LEAST_SINE = 1e-4


def lerp(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """The straight line from `first` to `second`, (z_dim,) each -> (steps, z_dim), both ends included.

    (1 - t) first + t second with t from 0 to 1. It stays where both ends are, in a cube such as that of
    uniform latents; between two normal ones its middle has about 0.7 of their norm. `steps` is at least 2.
    """
    t = _times(first, second, steps)
    return (1 - t) * first + t * second


def slerp(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """The great circle from `first` to `second`, (z_dim,) each -> (steps, z_dim), both ends included.

    sin((1 - t) w) / sin(w) first + sin(t w) / sin(w) second, with w the angle between them (Shoemake 1985).
    Between ends of one norm, all have that norm; coordinates may leave the interval of both ends' (by up to
    sqrt(2) at a right angle), so that uniform latents may leave their cube. The same or opposite directions
    (and a zero vector) name no great circle: there it is the straight line. `steps` is at least 2.
    """
    t = _times(first, second, steps)
    norms = first.norm() * second.norm()
    angle = torch.arccos((first @ second / norms).clamp(-1, 1)) if norms > 0 else first.new_zeros(())
    if angle.sin() < LEAST_SINE:
        return lerp(first, second, steps)
    return (((1 - t) * angle).sin() * first + (t * angle).sin() * second) / angle.sin()


def walk(
    corners: Tensor,
    steps_between: int,
    closed: bool = True,
    between: Callable[[Tensor, Tensor, int], Tensor] = slerp,
) -> Tensor:
    """A path through `corners` (n, z_dim), n at least 2 -> (frames, z_dim).

    `steps_between` (at least 1) frames from each corner on, the corner the first of them, along `between`.
    `closed`: back to the first corner, which does not come twice, so that an animation can be repeated:
    n * steps_between frames. Else it ends at the last corner: (n - 1) * steps_between + 1.
    """
    if corners.dim() != 2 or len(corners) < 2 or steps_between < 1:
        raise ValueError(
            f"a walk needs at least 2 corners (n, z_dim) and 1 step between them, not {tuple(corners.shape)} "
            f"and {steps_between}"
        )
    ends = torch.cat([corners, corners[:1]]) if closed else corners
    sides = [between(*ends[i : i + 2], steps_between + 1)[:-1] for i in range(len(ends) - 1)]
    return torch.cat(sides if closed else [*sides, corners[-1:]])


def path_of(latent: Latent) -> Callable[[Tensor, Tensor, int], Tensor]:
    """What leads from one latent to another among those that the generator knows: `slerp` for normal ones,
    `lerp` for uniform ones, whose cube a great circle would leave."""
    return slerp if latent.distribution == "normal" else lerp


def typical_norm(latent: Latent) -> float:
    """The root of a latent's expected squared norm: sqrt(size) of N(0, 1), sqrt(size / 3) of U(-1, 1)."""
    return math.sqrt(latent.size if latent.distribution == "normal" else latent.size / 3)


def rescaled(latents: Tensor, latent: Latent) -> Tensor:
    """(n, z_dim) -> (n, z_dim), each brought to the norm that latents of this distribution typically have.

    A mean of three has sqrt(1/3) of it, and A - B + C of three such means has that again: a generator has
    seen few latents of so small a norm. Uniform ones may leave their cube by it. A zero vector stays.
    """
    norms = latents.norm(dim=1, keepdim=True)
    return latents * typical_norm(latent) / norms.clamp_min(torch.finfo(latents.dtype).tiny)


def _times(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """0 to 1 in so many steps, (steps, 1)."""
    if first.dim() != 1 or first.shape != second.shape or steps < 2:
        raise ValueError(
            f"a path needs two latents (z_dim,) and at least 2 steps, not {tuple(first.shape)}, "
            f"{tuple(second.shape)} and {steps}"
        )
    return torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device)[:, None]
