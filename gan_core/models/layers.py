"""Layers that any discriminator can have: dropout, minibatch layers, spectral norm.

None of them waits for the device or changes an activation in place, and all can be differentiated twice.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gan_core.config import Architecture
from gan_core.devices import image_memory_format

KERNEL_DIMENSIONS = 5


class Dropout(nn.Module):
    """Set each activation to 0 with probability `p` and divide the others by 1 - p; nothing in eval mode.

    `draw(x, 1 - p)` gives the mask, of ones and zeros. Who trains sets it, so that a resumed run draws the
    same masks; as it is, they come from torch's global random state.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.draw: Callable[[Tensor, float], Tensor] = _draw_mask

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * (self.draw(x, 1 - self.p) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _draw_mask(like: Tensor, probability: float) -> Tensor:
    return torch.empty_like(like, requires_grad=False).bernoulli_(probability)


class MinibatchDiscrimination(nn.Module):
    """features (B, F) -> how near each image is to the whole batch, by kernel: float (B, kernels).

    Salimans et al. 2016, section 3.2: M = f T with T of (F, kernels, 5), and then the sum over all images j
    of the batch, i itself included, of exp(-||M_ik - M_jk||_1). Memory grows with B^2 * kernels * 5.
    Where several processes share the batch, `gather` makes all rows of a process's own.
    """

    def __init__(self, features: int, kernels: int):
        super().__init__()
        self.kernels = kernels
        self.gather: Callable[[Tensor], Tensor] = _all_rows_are_here
        self.project = nn.Linear(features, kernels * KERNEL_DIMENSIONS, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        rows = at_least_float32(self.project(features)).unflatten(1, (self.kernels, KERNEL_DIMENSIONS))
        distances = (rows[:, None] - self.gather(rows)[None]).abs().sum(3)
        return torch.exp(-distances).sum(1)


class MinibatchStddev(nn.Module):
    """x (B, C, H, W) -> (B, C + 1, H, W): the new map holds how much the images of the batch differ.

    Karras et al. 2018, section 3: the standard deviation over the batch (divided by B) of each feature at
    each pixel, averaged to one number, the same for the whole batch; 1e-8 under the root as in the authors'
    code. With a `group` of n the batch is B / n groups with a number each, and image i is in group i modulo
    B / n, as in that code; a batch that n does not divide is one group. Before a block with batch norm it
    counts several times less in a fresh network: batch norm subtracts what is the same for the whole batch,
    and only borders and shortcuts let the rest through.
    Where several processes share the batch, `gather` makes all rows of a process's own, and `share` takes a
    process's rows of all.
    """

    def __init__(self, group: int = 0):
        super().__init__()
        self.group = group
        self.gather: Callable[[Tensor], Tensor] = _all_rows_are_here
        self.share: Callable[[Tensor], Tensor] = _all_rows_are_here

    def forward(self, x: Tensor) -> Tensor:
        rows = self.gather(at_least_float32(x))
        if not self.group or len(rows) % self.group:
            deviation = (rows.var(0, unbiased=False) + 1e-8).sqrt().mean()
            new_map = deviation.to(x.dtype).expand(len(x), 1, *x.shape[2:])
        else:
            groups = rows.unflatten(0, (self.group, -1))  # (n, B / n, C, H, W)
            deviations = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
            mine = self.share(deviations.repeat(self.group)).to(x.dtype)
            new_map = mine[:, None, None, None].expand(len(x), 1, *x.shape[2:])
        return torch.cat([x, new_map], 1).contiguous(memory_format=image_memory_format(x.device))


def _all_rows_are_here(rows: Tensor) -> Tensor:
    return rows


def at_least_float32(x: Tensor) -> Tensor:
    """The same numbers, in 32 bits where they had fewer."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def normalize_spectrum(network: nn.Module) -> None:
    """Divide the weight of every convolution and linear layer by its largest singular value.

    Miyato et al. 2018: a convolution's weight is the matrix (outputs, inputs * height * width). torch's
    `spectral_norm` estimates the singular value by one step of the power iteration at every forward pass in
    training mode, so several times a training step, and not at all in eval mode. Its two vectors are buffers,
    changed in place (a CUDA graph can capture that) and part of the state_dict. Call it once the weights are
    initialised: it begins with 15 steps on them.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(module)
            module.parametrizations.weight[0] = _FullPrecision(module.parametrizations.weight[0])


class _FullPrecision(nn.Module):
    """A parametrisation outside autocast: a power iteration in 16 bits would not find the singular value."""

    def __init__(self, parametrization: nn.Module):
        super().__init__()
        self.parametrization = parametrization

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return self.parametrization(weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return self.parametrization.right_inverse(weight)


def discriminator_activation(architecture: Architecture, activation: nn.Module) -> list[nn.Module]:
    """`activation` of one hidden layer of D, and the dropout that follows it where there is one."""
    return [activation, Dropout(architecture.dropout)] if architecture.dropout else [activation]


def last_block_input(architecture: Architecture, channels: int) -> tuple[list[nn.Module], int]:
    """The layers before D's last block of convolutions, and the channels that they make of `channels`."""
    if not architecture.minibatch_stddev:
        return [], channels
    return [MinibatchStddev(architecture.minibatch_stddev_group)], channels + 1
