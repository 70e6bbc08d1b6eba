"""Who hears of a training while it runs, and what is shown of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gan_core.training.records.history import Row

logger = logging.getLogger("gan_core")


@dataclass(frozen=True)
class TrainingSnapshot:
    """A look at a running training. `samples` are the fixed latents' images now: uint8 (n, C, H, W).

    `losses` are means since the last row of `history`, or that row's where there is no newer loss.
    `warnings` are the guards' findings of this moment, in words.
    """

    images_seen: int
    total_images: int
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float
    samples: Tensor
    history: list[Row]
    evaluations: list[Row]
    warnings: list[str]


@dataclass(frozen=True)
class Listeners:
    """`emit` gets progress lines, `observe` a snapshot at most every `observe_interval` seconds. Both are
    called in the thread that runs the training."""

    emit: Callable[[str], None] = logger.info
    observe: Callable[[TrainingSnapshot], None] | None = None
    observe_interval: float = 10.0


def silent(line: str) -> None:
    """An `emit` for the other ranks: what they have to say, the first one says."""
