"""The exponential moving average of the generator, which often draws better than the generator itself."""

import copy

import torch
from torch import Tensor, nn


class GeneratorEMA:
    """Weights a <- decay * a + (1 - decay) * w after every step of G (Karras et al. 2018, section 4.2).

    Batch norm's running statistics are averaged in the same way, because they belong to the weights;
    integer buffers are copied. A `decay` that moves is a scalar tensor, on the device of the weights.
    """

    def __init__(self, generator: nn.Module, decay: float | Tensor):
        self.decay = decay
        self.module = copy.deepcopy(generator).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, generator: nn.Module) -> None:
        averaged, current = [], []
        for mine, other in zip(
            self.module.state_dict().values(), generator.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                averaged.append(mine)
                current.append(other)
            else:
                mine.copy_(other)
        if isinstance(self.decay, Tensor):  # a weight on the device: foreach's lerp would read it back
            differences = torch._foreach_sub(current, averaged)
            torch._foreach_mul_(differences, 1 - self.decay)
            torch._foreach_add_(averaged, differences)
        else:
            torch._foreach_lerp_(averaged, current, 1 - self.decay)
