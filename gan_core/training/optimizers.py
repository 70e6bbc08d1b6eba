"""The optimisers of the two networks, and the rates that they have at each moment."""

import os

import torch
from torch import Tensor, nn

from gan_core.config import OPTIMIZERS, Experiment, Optimizer

CUDA_GRAPHS = "GAN_CUDA_GRAPHS"


def graphs_wanted(device: torch.device) -> bool:
    """Whether steps are to be recorded as CUDA graphs: on a GPU, unless GAN_CUDA_GRAPHS is 0."""
    return device.type == "cuda" and os.environ.get(CUDA_GRAPHS) != "0"


def build_optimizer(network: nn.Module, config: Optimizer, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser of one network, with as few kernels per step as torch has for it.

    Where steps are captured as graphs the rate is a tensor, so that a replay reads today's.
    """
    captured = graphs_wanted(device)
    optimizer = OPTIMIZERS[config.name].build(
        list(network.parameters()),
        config,
        captured=captured,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    if captured:  # only now: an optimiser reads the rate that it is made with
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(config.learning_rate, device=device)
    return optimizer


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Take over the moments of a saved state; the settings stay those of this device, and so does the layout:
    fused kernels read a weight and its moments as one row of numbers each."""
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state["state"], "param_groups": settings})
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of all weights; where it is a tensor, for CUDA graphs, it is filled."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def set_betas(optimizer: torch.optim.Optimizer, betas: tuple[float, float]) -> None:
    """Adam's coefficients, as plain numbers, which a CUDA graph would freeze: of tensors each of torch's
    implementations (2.15) reads them back to the host."""
    for group in optimizer.param_groups:
        group["betas"] = betas


def share_left(images_seen: int, total_images: int) -> float:
    """Of the run: from 1 at its start to 0 at its end, and after it."""
    return max(0.0, 1.0 - images_seen / total_images)


def learning_rate_factor(experiment: Experiment, images_seen: int, total_images: int) -> float:
    """1, or falling linearly from 1 at the start of the run to 0 at its end."""
    return share_left(images_seen, total_images) if experiment.learning_rate_decay == "linear" else 1.0
