"""How a GPU computes: which short cuts its products and convolutions may take, for training and for figures.

TensorFloat-32 rounds the factors of a product in 32 bits to 10 bits of mantissa; on NVIDIA's GPUs since
Ampere it is many times faster. cuDNN's benchmark times a convolution's kernels where its shapes first come,
and takes the fastest from then on. Both change nothing on other devices. The switches are of the whole
process: whoever needs others sets them for as long as that takes.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

# Where it is 1, trainings on a GPU take kernels that add in one order.
DETERMINISTIC = "GAN_DETERMINISTIC"
# Without it cuBLAS adds in another order from run to run (NVIDIA's documentation of cuBLAS, reproducibility).
CUBLAS_WORKSPACE, REPRODUCIBLE_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"


@dataclass(frozen=True)
class NumericPolicy:
    """`tf32`: products and convolutions in 32 bits may be rounded to TensorFloat-32. `benchmark`: cuDNN times
    its kernels, which pays for shapes that stay. `deterministic`: the same inputs give the same bits; an
    operator that cannot says so in a warning of torch's."""

    tf32: bool
    benchmark: bool
    deterministic: bool = False

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the process computes by this policy; afterwards by what held before. Who has asked for
        deterministic kernels keeps them."""
        before = _switches()
        _switch(
            {
                "convolutions": self.tf32,
                "products": self.tf32,
                "benchmark": self.benchmark and not (self.deterministic or before["deterministic"]),
                "deterministic": self.deterministic or before["deterministic"],
                "algorithms": before["algorithms"] or ("warn" if self.deterministic else "default"),
            }
        )
        try:
            yield
        finally:
            _switch(before)


MEASURING = NumericPolicy(tf32=False, benchmark=False)
"""For all that a figure stands on: drawing samples, features, logits."""


def training_policy(device: torch.device) -> NumericPolicy:
    """That of a training on this device: TF32, but not in penalties, and cuDNN's fastest kernels; what
    GAN_DETERMINISTIC asks for on a GPU."""
    deterministic = device.type == "cuda" and os.environ.get(DETERMINISTIC) == "1"
    if deterministic:
        os.environ.setdefault(CUBLAS_WORKSPACE, REPRODUCIBLE_WORKSPACE)
    return NumericPolicy(tf32=True, benchmark=True, deterministic=deterministic)


def training_numerics(device: torch.device) -> dict[str, Any]:
    """What a training's manifest says of it: `tf32`, `tf32_in_penalties`, `cudnn_benchmark`,
    `deterministic`, as they were on this device."""
    on_gpu, policy = device.type == "cuda", training_policy(device)
    return {
        "tf32": on_gpu and policy.tf32,
        "tf32_in_penalties": False,
        "cudnn_benchmark": on_gpu and policy.benchmark and not policy.deterministic,
        # The kernels of CPUs add in one order; those of Apple's GPU were not looked at.
        "deterministic": device.type == "cpu" or policy.deterministic,
    }


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Within, nothing is rounded to TensorFloat-32; the other switches stay."""
    before = _switches()
    _switch(before | {"convolutions": False, "products": False})
    try:
        yield
    finally:
        _switch(before)


def _switches() -> dict[str, Any]:
    return {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "products": torch.backends.cuda.matmul.allow_tf32,
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.backends.cudnn.deterministic,
        "algorithms": torch.get_deterministic_debug_mode(),
    }


def _switch(values: dict[str, Any]) -> None:
    torch.backends.cudnn.allow_tf32 = values["convolutions"]
    torch.backends.cuda.matmul.allow_tf32 = values["products"]
    torch.backends.cudnn.benchmark = values["benchmark"]
    torch.backends.cudnn.deterministic = values["deterministic"]
    torch.set_deterministic_debug_mode(values["algorithms"])
