"""The processes that train one GAN together: each has a share of every batch, all have the same weights."""

import contextlib
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_core.errors import LostRankError
from gan_core.models.layers import at_least_float32
from gan_core.training.processes.liveness import Liveness

Value = TypeVar("Value")
# Of the process, as its default group is: who watches the others, and the group for tensors on the CPU.
_liveness: Liveness | None = None
_cpu_group: distributed.ProcessGroup | None = None


def wait_by(liveness: Liveness | None, cpu_group: distributed.ProcessGroup | None) -> None:
    """Let every wait for other processes on the CPU last as long as they live, in this group of them (None:
    the default one)."""
    global _liveness, _cpu_group
    _liveness, _cpu_group = liveness, cpu_group


class Ranks:
    """One process on its own, or this process's place among those that were started together.

    `rank` counts from 0, `size` is the number of processes. With one process every method returns what it
    was given. All ranks call the same methods in the same order. What decides where the run goes travels
    through gloo on the CPU, so that no step waits for a GPU; gradients through the device's own backend.

    Every method raises `LostRankError` where another process is gone, or gives no sign of life.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def sum_on_the_device(self) -> bool:
        """Whether tensors on a GPU are added there, by NCCL: the host has no part in it."""
        return self.size == 1 or (
            distributed.is_initialized() and "cuda:nccl" in distributed.get_backend_config()
        )

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank: how all of them stop at the same step."""
        if self.size == 1:
            return flag
        count = torch.tensor(int(flag))
        _add_up(count)
        return bool(count)

    def of_first(self, value: Value) -> Value:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        _add_up(torch.tensor(0))  # the first may take its time; what follows does not wait for long
        try:
            cpu = torch.device("cpu")
            distributed.broadcast_object_list(box, src=0, device=cpu, group=_cpu_group)
        except RuntimeError as error:
            raise _lost(error) from error
        return box[0]

    def step(self) -> contextlib.AbstractContextManager:
        """Within, this process computes or waits for the others: one that does neither is given up."""
        return contextlib.nullcontext() if self.size == 1 or _liveness is None else _liveness.step()

    @torch.no_grad()
    def average(self, tensors: list[Tensor]) -> None:
        """Make every tensor the mean over the ranks, in place; they have the same device and type."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        _add_up(flat)
        flat /= self.size
        parts = flat.split([tensor.numel() for tensor in tensors])
        shaped = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
        torch._foreach_copy_(tensors, shaped)

    def share(self, whole: Tensor) -> Tensor:
        """This rank's rows of a tensor that has those of all ranks, in order."""
        if self.size == 1:
            return whole
        count = len(whole) // self.size
        return whole[self.rank * count : (self.rank + 1) * count]

    def gather(self, mine: Tensor) -> Tensor:
        """The rows of all ranks, in order, of which `mine` (n, ...) are this one's. Differentiable, twice.

        The gradient of a rank's rows is the sum of what all ranks have for them. Averaging the weights'
        gradients over the ranks then makes it that of the mean loss over the whole batch.
        """
        if self.size == 1:
            return mine
        before, after = self.rank * len(mine), (self.size - 1 - self.rank) * len(mine)
        padding = (0, 0) * (mine.dim() - 1) + (before, after)
        return _Sum.apply(nn.functional.pad(mine, padding))

    def synchronise_norms(self, network: nn.Module) -> nn.Module:
        """The network, on its device, with batch norms that take their statistics over all ranks."""
        if self.size == 1:
            return network
        for module in network.modules():
            if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d):
                module.__class__ = BatchNormOverRanks
        return network


class BatchNormOverRanks(_BatchNorm):
    """Batch norm of the whole batch, with statistics in 32 bits.

    Torch's own SyncBatchNorm runs on GPUs only, has no second gradient, and waits for the device at each
    forward pass. Takes (B, C, ...), with the same B on every rank.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # nothing depends on it here

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = (1, -1, *(1,) * (input.dim() - 2))
        ranks = distributed.get_world_size()
        x = at_least_float32(input)
        mean = _Sum.apply(x.mean(axes)) / ranks
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().mean(axes)) / ranks
        self._remember(mean.detach(), variance.detach(), ranks * input.numel() // input.shape[1])
        scale = torch.rsqrt(variance + self.eps)
        if not self.affine:
            return (centred * scale.view(shape)).to(input.dtype)
        scaled = centred * (self.weight * scale).view(shape)
        return (scaled + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


class _Sum(torch.autograd.Function):
    """The sum over the ranks; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        _add_up(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def _add_up(tensor: Tensor) -> None:
    try:
        if _liveness is None or tensor.device.type != "cpu":
            distributed.all_reduce(tensor)
        else:
            _liveness.wait_for(distributed.all_reduce(tensor, group=_cpu_group, async_op=True))
    except RuntimeError as error:
        raise _lost(error) from error


def _lost(error: RuntimeError) -> LostRankError:
    return LostRankError(
        "another process of this training has ended, or is out of reach, so this one stops, too. Its own "
        "message says why; one that left none was killed, for example because memory ran out. Start the "
        f"training again: it goes on from its last checkpoint. ({str(error).splitlines()[0]})"
    )
