"""A GPU of NVIDIA that computes nothing: tensors on `cuda` with shapes, types and layouts, but no values.

torch's `FakeTensorMode` runs its own rules for each operator. What reads a value raises
`DataDependentOutputException` there, and operands on two devices a `FakeTensorDeviceMismatchError`.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gan_core.training.optimizers import CUDA_GRAPHS

CUDA = torch.device("cuda", 0)
# In-place operators that torch has no rules for: of them only the devices are looked at.
WITHOUT_RULES = (torch.ops.aten._fused_adam_.tensor_lr, torch.ops.aten._fused_sgd_.tensor_lr)


class Refused(AssertionError):
    """What a step on a GPU must not do: it would wait for the device, or copy between it and the host."""


class Watch(TorchDispatchMode):
    """Notes the types that operators make; in a `step` it refuses whatever has a tensor of the host.

    `made` has pairs of an operator, as in `aten.convolution.default`, and the type of what it makes.
    """

    def __init__(self):
        super().__init__()
        self.made: set[tuple[str, torch.dtype]] = set()
        self.in_step = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = None if function in WITHOUT_RULES else function(*args, **(kwargs or {}))
        there, here = (list(tensors(tree)) for tree in ((args, kwargs, made), made))
        self.made |= {(str(function), value.dtype) for value in here}
        if self.in_step and any(value.device.type == "cpu" for value in there):
            raise Refused(f"{function} with a tensor of the host")
        return made

    def types_of(self, *operators: str) -> set[torch.dtype]:
        """The types that operators of these names (`convolution`) have made."""
        return {dtype for name, dtype in self.made if name.split(".")[1] in operators}

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        self.in_step = True
        try:
            yield
        finally:
            self.in_step = False


class CudaGenerator(torch.Generator):
    """Says that it is on `cuda`, where torch makes one only beside a driver."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")

    def __init__(self, device="cpu"):
        self.of = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.of

    def manual_seed(self, seed: int) -> "CudaGenerator":
        super().manual_seed(seed)
        return self


def tensors(tree) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def moved(module: nn.Module, function, recurse: bool = True) -> nn.Module:
    """What `nn.Module._apply` does, which cannot move fake parameters (it swaps them)."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(function(weight.detach()), weight.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = function(value)
    return module


def copied(value: Tensor, memo: dict) -> Tensor:
    """A leaf as this one; torch's own copy asks for storage."""
    clone = value.detach().clone().requires_grad_(value.requires_grad)
    return nn.Parameter(clone, value.requires_grad) if isinstance(value, nn.Parameter) else clone


def backward_left_out(loss: Tensor, inputs: list[Tensor]) -> None:
    assert loss.dim() == 0 and loss.requires_grad
    for weight in inputs:
        weight.grad = torch.zeros_like(weight)


def gradients_left_out(output: Tensor, points: Tensor, create_graph: bool = False) -> tuple[Tensor]:
    assert output.dim() == 0 and output.requires_grad and points.requires_grad
    return (points * 0 + output * 0,)  # they depend on both, so that what is made of them has a gradient


@contextlib.contextmanager
def fake_tensors() -> Iterator[Watch]:
    """Within, tensors have no values, on any device; networks can be moved and copied."""
    with contextlib.ExitStack() as stack:
        for patch in (
            mock.patch.object(torch, "Generator", CudaGenerator),
            mock.patch.object(nn.Module, "_apply", moved),
            mock.patch.object(FakeTensorMode, "__deepcopy__", lambda mode, memo: mode, create=True),
            mock.patch.object(FakeTensor, "__deepcopy__", copied, create=True),
        ):
            stack.enter_context(patch)
        stack.enter_context(FakeTensorMode())
        yield stack.enter_context(Watch())


@contextlib.contextmanager
def fake_cuda() -> Iterator[Watch]:
    """Within, `cuda` is a device like others, with bfloat16, and steps are made to be recorded as graphs.

    Without a driver torch's engine of gradients refuses tensors on it even where they are fake: gradients of
    the right kind stand for what it would give.
    """
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(fake_tensors())
        for patch in (
            mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            mock.patch.object(torch.cuda, "is_bf16_supported", lambda **_: True),
            mock.patch.dict("os.environ", {CUDA_GRAPHS: "1"}),
        ):
            stack.enter_context(patch)
        if not gradients_work():
            stack.enter_context(mock.patch.object(Tensor, "backward", backward_left_out))
            stack.enter_context(mock.patch.object(torch.autograd, "grad", gradients_left_out))
        yield watch


def gradients_work() -> bool:
    """Whether fake tensors on `cuda` have gradients: in builds without CUDA, and beside a driver."""
    weight = torch.zeros(2, device=CUDA, requires_grad=True)
    try:
        weight.sum().backward()
    except RuntimeError:
        return False
    return True
