"""What a step is given: real images and the values that move, from the host or from where recorded steps
read them."""

import torch
from torch import Tensor

from gan_core.data.feed import Batch, ResidentFeed, TrainingFeed
from gan_core.training.critic_steps import updates_generator
from gan_core.training.schedules import rate_of, step_values
from gan_core.training.state import TrainingState

STEPS_AT_ONCE = 64  # recorded steps of which the inputs are made ready together
Given = tuple[Tensor, Tensor | None, Batch | None]
"""Images, their labels, and the fresh images and labels of a step's G (see `train_step`)."""


class Batches:
    """What each step of a training is given, batch after batch of its feed."""

    def __init__(self, state: TrainingState, feed: TrainingFeed):
        self.state, self.feed = state, feed
        self.read: dict[int, Batch] = {}

    def next(self) -> Given:
        """What the next step is given, however often it is asked for before that step is made."""
        state, size = self.state, self.state.experiment.batch_size
        images, labels = self._batch(state.images_seen)
        fresh = None
        if state.objective.compares_pairs and updates_generator(state.experiment, state.step + 1):
            fresh = self._batch(state.images_seen + size)
        return images, labels, fresh

    def _batch(self, start: int) -> Batch:
        """The batch at this place of the order. What this step and the next one need is kept: a streamed
        feed does not go back."""
        if start not in self.read:
            images, labels = self.feed.batch(start, self.state.experiment.batch_size)
            needed = {place: batch for place, batch in self.read.items() if place >= self.state.images_seen}
            self.read = {**needed, start: (images, labels if self.state.experiment.conditional else None)}
        return self.read[start]


class StepInputs:
    """What the next steps are given, in memory of the device that stays where it is.

    A row for each step: the numbers of its images among `images`, int64 (b,), and the values that move,
    float32. Whoever takes a row moves `row` on to the next, on the device: recorded steps follow each other
    without a word from the host. The images are those of a resident feed; of a streamed one those of a single
    step, copied to here.
    """

    def __init__(self, batches: Batches, total_images: int):
        self.batches, self.total_images = batches, total_images
        self.state, self.feed = state, feed = batches.state, batches.feed
        self.is_resident = isinstance(feed, ResidentFeed)
        self.compares_pairs = state.objective.compares_pairs
        self.at_once = STEPS_AT_ONCE if self.is_resident else 1
        self.targets = {**_rates(state), **state.moving}
        share = state.experiment.batch_size // state.ranks.size
        self.row = torch.zeros(1, dtype=torch.int64, device=state.device)
        self.values = torch.zeros(self.at_once, len(self.targets), device=state.device)
        # One more: a pair's fresh images are those of the next row.
        numbers = torch.arange((self.at_once + 1) * share, device=state.device)
        self.numbers = numbers.view(self.at_once + 1, share)
        self.images = feed.images if self.is_resident else None
        self.labels = feed.labels if self.is_resident and state.experiment.conditional else None

    def make_ready(self, steps: int) -> None:
        """The rows of the next `steps`, `at_once` at most."""
        experiment = self.state.experiment
        done, seen, size = self.state.step, self.state.images_seen, experiment.batch_size
        if self.is_resident:
            rows = steps + self.compares_pairs
            numbers = [self.feed.numbers(seen + step * size, size) for step in range(rows)]
            torch.stack(numbers, out=self.numbers[:rows])
        else:
            self._copy(self.batches.next())
        table = [
            step_values(experiment, done + step, seen + step * size, self.total_images)
            for step in range(steps)
        ]
        values = torch.tensor([[row[name] for name in self.targets] for row in table])
        pinned = self.state.device.type == "cuda"
        values = values.pin_memory() if pinned else values
        self.values[:steps].copy_(values, non_blocking=pinned)
        self.row.zero_()

    @torch.no_grad()
    def take(self, updates_generator: bool) -> Given:
        """What the step of this row is given, with its values where it reads them. All on the device."""
        values = self.values.index_select(0, self.row)[0]
        torch._foreach_copy_(list(self.targets.values()), list(values.unbind()))
        images, labels = self._gathered(self.row)
        fresh = self._gathered(self.row + 1) if self.compares_pairs and updates_generator else None
        self.row.add_(1)
        return images, labels, fresh

    def _gathered(self, row: Tensor) -> Batch:
        numbers = self.numbers.index_select(0, row)[0]
        labels = None if self.labels is None else self.labels.index_select(0, numbers)
        return self.images.index_select(0, numbers), labels

    def _copy(self, given: Given) -> None:
        images, labels, fresh = given
        if self.images is None:
            self.images = images.new_zeros(self.numbers.numel(), *images.shape[1:])
            self.labels = None if labels is None else labels.new_zeros(self.numbers.numel())
        for place, batch in enumerate([(images, labels), *([fresh] if fresh else [])]):
            part = slice(place * len(images), (place + 1) * len(images))
            self.images[part].copy_(batch[0])
            if labels is not None:
                self.labels[part].copy_(batch[1])


def _rates(state: TrainingState) -> dict[str, Tensor]:
    """Both networks' learning rates, tensors where steps are recorded (`build_optimizer`)."""
    return {rate_of(name): optimizer.param_groups[0]["lr"] for name, optimizer in state.optimizers.items()}
