"""Batch norm with a scale and a shift for each class, and what carries the class to it."""

import torch
from torch import Tensor, nn


class ConditionalBatchNorm2d(nn.Module):
    """x (B, C, H, W), classes (B, n_classes) -> (B, C, H, W): batch norm, then the class's scale and shift.

    De Vries et al. 2017, section 3, with one scale and one shift a class and channel as Dumoulin et al. 2017
    (equation 5) have them for instance norm; 1 and 0 at first, as in the code of Miyato and Koyama 2018. The
    statistics are those of the batch over all classes. A row of `classes` is one-hot, or a mixture: then the
    scales and shifts are mixed alike.
    """

    def __init__(self, channels: int, n_classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Parameter(torch.ones(n_classes, channels))
        self.shift = nn.Parameter(torch.zeros(n_classes, channels))

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        # A row of a matrix is this product with a one-hot vector, which has a deterministic gradient.
        scale, shift = (classes @ rows for rows in (self.scale, self.shift))
        return self.norm(x) * scale[:, :, None, None] + shift[:, :, None, None]


class ClassSequential(nn.Sequential):
    """x, classes (B, n_classes) -> what the layers make of x one after another.

    Those of `takes_classes` and sequences of this kind get the classes, too.
    """

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        for module in self:
            x = module(x, classes) if takes_classes(module) else module(x)
        return x


def takes_classes(module: nn.Module) -> bool:
    """Whether the module's `forward` is called with the classes beside x."""
    if isinstance(module, ConditionalBatchNorm2d | ClassSequential):
        return True
    return any(isinstance(part, ClassSequential) for part in module.children())
