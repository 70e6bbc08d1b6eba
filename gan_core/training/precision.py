"""In how many bits the networks compute: 16 where the device is fast so, and what stays in 32.

Under bf16 the convolutions and matrix products inside the networks take bfloat16 (torch's autocast). In fp32
stay the weights and their optimisers, the statistics of norms, D's heads, G's last activation, the losses
and, unless `penalty_precision` says otherwise, the penalties: in 16 bits the squared norms of WGAN-GP
overflow (PyTorch-StudioGAN#175). Samples are drawn and evaluated in fp32.
"""

from typing import Literal

import torch

from gan_core.config import Experiment
from gan_core.devices import describe_device, fast_bfloat16

Precision = Literal["fp32", "bf16"]


def precision_on(experiment: Experiment, device: torch.device) -> Precision:
    """What a training computes in on this device: bf16 where it is wanted (`bf16`, `auto`) and fast."""
    wanted = experiment.precision in ("bf16", "auto")
    return "bf16" if wanted and fast_bfloat16(device) else "fp32"


def precision_in_words(experiment: Experiment, device: torch.device) -> str | None:
    """One line where the device has decided: under `auto`, and where it would be many times slower in the
    `bf16` that was asked for."""
    used, name = precision_on(experiment, device), describe_device(device)
    if experiment.precision == "auto":
        return f"precision auto: {used} on {name}"
    if experiment.precision != used:
        return f"precision bf16 was asked for, but {name} is many times slower in it: this run uses fp32"
    return None


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """For one forward pass: autocast keeps 16-bit copies of the weights, so it must end before a step."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
