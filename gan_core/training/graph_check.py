"""Whether a replayed step does what a plain step does from the same moment.

Both run the same kernels, so that they differ by the order in which those add. A recording that went wrong
(random numbers held fast, memory that is written by others, an update that is missing) is off by as much as
the step itself.
"""

import collections

import torch
from torch import Tensor

from gan_core.training.state import TrainingState

# Of the change that the plain step makes; Adam makes whole steps of gradients that are only rounding.
TOLERANCE = 0.1
COUNTS = "counts"
LOSS_TOLERANCE, LEAST_LOSS = 1e-2, 1e-3


class Moment:
    """A copy, on the device, of all that a step changes there: weights, statistics, moments of the
    optimisers, the average, D's scores that are kept, the sums of losses, the random state."""

    def __init__(self, state: TrainingState):
        self.state = state
        self.parts = {
            name: [value.detach().clone() for value in values] for name, values in _changing(state).items()
        }
        self.noise = state.noise.generator.get_state()

    def restore(self) -> None:
        """Make the state what it was, in place: recordings and optimisers hold the same memory."""
        with torch.no_grad():
            for name, values in _changing(self.state).items():
                for value, kept in zip(values, self.parts[name], strict=True):
                    value.copy_(kept)
        self.state.noise.generator.set_state(self.noise)


def _changing(state: TrainingState) -> dict[str, list[Tensor]]:
    """By parts whose numbers are of one kind: beside a count, no change of a weight would be seen."""
    parts: dict[str, list[Tensor]] = collections.defaultdict(list)
    networks = {"generator": state.generator, "discriminator": state.discriminator}
    if state.ema:
        networks["average"] = state.ema.module
    for network, module in networks.items():
        parts[f"weights of the {network}"] = list(module.parameters())
        for value in module.buffers():
            parts[f"{'statistics' if value.is_floating_point() else COUNTS} of the {network}"].append(value)
    for name, kept in (("averages of scores", state.score_averages), ("signs", state.adaptive_augmentation)):
        if kept:
            parts[f"{name} of D"] = list(kept.state_dict().values())
    parts["sums of losses"] = list(state.meter.kept.values())
    for network, optimizer in state.optimizers.items():
        for moments in optimizer.state.values():
            for name, value in moments.items():
                if isinstance(value, Tensor):
                    parts[f"{COUNTS if name == 'step' else name} of the {network}'s optimiser"].append(value)
    return parts


def difference(before: Moment, plain: Moment, replayed: Moment) -> str | None:
    """Which part two steps from `before` leave differently, and by how much of its change; None where they
    agree."""
    for name, values in plain.parts.items():
        change = _distance(values, before.parts[name])
        off = _distance(values, replayed.parts[name])
        if not off <= (0 if name.startswith(COUNTS) else TOLERANCE) * change:  # also where either is NaN
            return f"the {name} are off by {off:.3g}, where a plain step changes them by {change:.3g}"
    if not torch.equal(plain.noise, replayed.noise):
        return "it leaves another random state than a plain step"
    return None


def differing_losses(plain: dict[str, Tensor], replayed: dict[str, Tensor]) -> str | None:
    """The first loss or score that differs by more than rounding; None where all agree."""
    for name, expected in plain.items():
        found = replayed.get(name)
        if found is None:
            return f"it has no {name}"
        if not torch.isclose(found.detach(), expected.detach(), rtol=LOSS_TOLERANCE, atol=LEAST_LOSS):
            return f"{name} is {found.item():.4g}, and {expected.item():.4g} by a plain step"
    return None


def _distance(values: list[Tensor], others: list[Tensor]) -> float:
    """Euclidean, over all of their numbers, in float64; infinite where there are more in one of them."""
    if len(values) != len(others):
        return float("inf")
    squares = [(a.double() - b.double()).square().sum() for a, b in zip(values, others, strict=True)]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
