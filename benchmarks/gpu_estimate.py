"""What a training step takes on a GPU, on paper: what it launches, computes and moves, counted operator by
operator while it runs on any device, and the speeds that follow from that. `benchmarks.gpu` prints them
beside what it measures.

Three bounds, none of which knows how well a kernel uses the GPU:

- plain: the host needs what PyTorch itself takes for the step's operators, and `LAUNCH_SECONDS` for each
  kernel; nothing else takes time;
- graphs: every operator takes as long as its kernels' least time, its multiplications at the GPU's best rate,
  or its bytes, each read or written once, at the memory's best rate: the longest of the three;
- arithmetic: the multiplications at the GPU's best rate, and nothing else takes time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

LAUNCH_SECONDS = 5e-6  # what a launch by PyTorch costs the host
KERNEL_SECONDS = 2e-6  # the least that a kernel takes within a graph, with the gap before the next one
# NVIDIA's data sheet of the H100 SXM, without sparsity: floating-point operations and bytes a second.
RATES = {"fp32": 494e12, "bf16": 989e12}  # the first by TensorFloat-32
BANDWIDTH = 3.35e12
# Kernels of an operator where they are not one: gradients of images, of weights and, where it has one, bias.
# Those of batch norm depend on whose kernel is taken, and on the layout.
KERNELS = {"convolution_backward": 2, "native_batch_norm": 2, "native_batch_norm_backward": 2}
WITHOUT_KERNELS = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "lift_fresh")


@dataclass
class Counted:
    """What steps are made of, and the seconds that they take at least."""

    kernels: int = 0
    operations: float = 0.0
    seconds_of_graphs: float = 0.0
    rate: float = RATES["fp32"]

    def seconds_of_host(self, own: float) -> float:
        """`own` are those without a launch (`host_seconds`)."""
        return own + self.kernels * LAUNCH_SECONDS

    @property
    def seconds_of_arithmetic(self) -> float:
        return self.operations / self.rate


class Counter(TorchDispatchMode):
    """Counts what runs within, gradients included."""

    def __init__(self, precision: str):
        super().__init__()
        self.counted = Counted(rate=RATES[precision])

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = function(*args, **kwargs)
        name = _name(function)
        tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, Tensor)]
        if tensors and name not in WITHOUT_KERNELS and not _is_view(function):
            self._count(function, args, kwargs, made, tensors)
        return made

    def _count(self, function, args, kwargs, made, tensors: list[Tensor]) -> None:
        kernels = KERNELS.get(_name(function), 1)
        operations = 0
        if function._overloadpacket in flop_registry:
            operations = flop_registry[function._overloadpacket](*args, **kwargs, out_val=made)
        touched = {id(tensor): tensor.nbytes for tensor in tensors}
        self.counted.kernels += kernels
        self.counted.operations += operations
        self.counted.seconds_of_graphs += max(
            kernels * KERNEL_SECONDS, operations / self.counted.rate, sum(touched.values()) / BANDWIDTH
        )


def count(run: Callable[[], None], precision: str) -> Counted:
    """What `run` is made of, in the precision in which it computes."""
    with Counter(precision) as counter:
        run()
    return counter.counted


def host_seconds(run: Callable[[], None], rounds: int) -> float:
    """What PyTorch and Python take for `run`, which must be so small that its arithmetic takes no time: the
    least processor time of so many rounds, on one thread of the CPU."""
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(rounds):
            began = time.process_time()
            run()
            seconds.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return min(seconds)


def _name(function: torch._ops.OpOverload) -> str:
    return function._schema.name.split("::")[1]


def _is_view(function: torch._ops.OpOverload) -> bool:
    """Whether it returns its argument's memory without writing to it."""
    aliases = [returned.alias_info for returned in function._schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)
