"""The order in which real images are shown: an endless sequence of shuffled epochs that a seed fixes."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """A stretch of the order whose images all come from the same few shards.

    `shards`: their indices in the split. `numbers`: int64 (n,), the image at each of the places from
    `first_place` on.
    """

    first_place: int
    shards: tuple[int, ...]
    numbers: np.ndarray

    @property
    def end(self) -> int:
        """The first place after this window."""
        return self.first_place + len(self.numbers)


class EpochOrder:
    """Image numbers in training order, as a function of the place in the run alone.

    In every epoch the shards are permuted; consecutive shards of that permutation form windows of at most
    `window` images (a shard that is larger is a window of its own); the images of a window are permuted.
    So only a window needs to be in memory, and the order is the same on a machine that holds everything. A
    split that fits into one window is permuted as a whole. The permutations of epoch e are drawn by
    generators seeded with (seed, e), window k's with (seed, e, k + 1).

    Batches are cut from this sequence without regard to windows and epochs: all have one size, no image is
    left out, and every image is shown exactly once an epoch. The place is the number of images seen: nothing
    else needs saving. An image's number is its place in the split, shard after shard.
    """

    def __init__(self, images_per_shard: Sequence[int], window: int, seed: int):
        self.images_per_shard, self.window, self.seed = tuple(images_per_shard), window, seed
        self.first_images = tuple(itertools.accumulate(self.images_per_shard, initial=0))
        self._plan = (-1, [], [])  # of the epoch that was asked for last: its number, groups, first places
        self._window = Window(-1, (), np.empty(0, np.int64))  # what was asked for last

    def __len__(self) -> int:
        """The images of an epoch."""
        return self.first_images[-1]

    def batch(self, start: int, size: int) -> Tensor:
        """The image numbers at places start to start + size of the sequence: int64 (size,)."""
        parts = []
        while size:
            window = self.window_at(start)
            part = window.numbers[start - window.first_place :][:size]
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return torch.from_numpy(np.concatenate(parts))

    def epoch(self, number: int) -> np.ndarray:
        """All image numbers of one epoch in order: int64 (N,)."""
        parts = []
        place, end = number * len(self), (number + 1) * len(self)
        while place < end:
            parts.append(self.window_at(place).numbers)
            place += len(parts[-1])
        return np.concatenate(parts)

    def window_at(self, place: int) -> Window:
        """The window that `place` lies in."""
        if not self._window.first_place <= place < self._window.end:
            self._window = self._make_window(place)
        return self._window

    def _make_window(self, place: int) -> Window:
        epoch, offset = divmod(place, len(self))
        groups, first_places = self._groups(epoch)
        index = bisect.bisect_right(first_places, offset) - 1
        numbers = np.concatenate(
            [np.arange(self.first_images[shard], self.first_images[shard + 1]) for shard in groups[index]]
        )
        # Zeros at the end of a seed change nothing, so windows count from 1.
        shuffled = np.random.default_rng([self.seed, epoch, index + 1]).permutation(numbers)
        return Window(epoch * len(self) + first_places[index], groups[index], shuffled)

    def _groups(self, epoch: int) -> tuple[list[tuple[int, ...]], list[int]]:
        """The shards of each window of an epoch, and the windows' first places in it."""
        if self._plan[0] != epoch:
            groups: list[list[int]] = []
            sizes: list[int] = []
            shards = np.random.default_rng([self.seed, epoch]).permutation(len(self.images_per_shard))
            for shard in shards.tolist():
                count = self.images_per_shard[shard]
                if groups and sizes[-1] + count <= self.window:
                    groups[-1].append(shard)
                    sizes[-1] += count
                else:
                    groups.append([shard])
                    sizes.append(count)
            first_places = list(itertools.accumulate(sizes[:-1], initial=0))
            self._plan = (epoch, [tuple(group) for group in groups], first_places)
        return self._plan[1], self._plan[2]
