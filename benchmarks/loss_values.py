"""What the rows of losses cost: the share of a training's time that goes into them.

    python -m benchmarks.loss_values [--device cuda] [--steps 300] [--batch 64]

Trains DCGAN, WGAN-GP and ACGAN at 32 pixels as `benchmarks.training` does, with a row every 100 steps, and
times what is done for the rows alone: scores and accuracies of each step, adding them and the losses to the
sums, gradient norms, reading the means back, the guards, TensorBoard. On a GPU the clock waits for the
device at both ends of each, which counts more than the rows cost.
"""

import argparse
import contextlib
import functools
import time
from collections.abc import Callable
from unittest import mock

import torch

from benchmarks.training import CLASSES, IMAGES, MODELS, Case, engine_arm
from gan_core.devices import default_device, describe_device
from gan_core.training import step
from gan_core.training.engine import Engine
from gan_core.training.records.history import LossMeter
from gan_core.training.state import TrainingState

FOR_ROWS = ((step, "_scores"), (LossMeter, "add"), (TrainingState, "gradient_norms"), (Engine, "_add_row"))


class Stopwatch:
    """The seconds spent in functions, none of which calls another."""

    def __init__(self, device: torch.device):
        self.device, self.seconds = device, 0.0

    def timed(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def with_clock(*arguments, **named):
            began = self.now()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += self.now() - began

        return with_clock

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def share(case: Case, steps: int) -> tuple[float, float]:
    """The seconds of so many steps, and those of them that the rows took."""
    images = torch.randint(0, 256, (IMAGES, 3, case.side, case.side), dtype=torch.uint8)
    arm = engine_arm(case, images, torch.randint(CLASSES, (IMAGES,)))
    for _ in range(10):
        next(arm)
    watch = Stopwatch(case.device)
    with contextlib.ExitStack() as patches:
        for owner, name in FOR_ROWS:
            patches.enter_context(mock.patch.object(owner, name, watch.timed(getattr(owner, name))))
        began = watch.now()
        for _ in range(steps):
            next(arm)
        seconds = watch.now() - began
    arm.close()
    return seconds, watch.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default=str(default_device()))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    device = torch.device(options.device)
    print(
        f"{describe_device(device)}, torch {torch.__version__}; a row every 100 steps, batch {options.batch}"
    )
    for model in MODELS:
        seconds, of_rows = share(Case(model, 32, options.batch, 64, device, "fp32"), options.steps)
        rows = f"{1e3 * of_rows:.0f} ms of these for rows, {of_rows / seconds:.2%}"
        print(f"{model}: {options.steps} steps in {seconds:.1f} s, {rows}", flush=True)


if __name__ == "__main__":
    main()
