"""What the hashes of a dataset say: groups of train images, and test images with a near-duplicate there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gan_core.data.duplicates.search import Groups, near_pairs
from gan_core.progress import Progress

SHOWN_PAIRS = 6  # of each distance
NONE = 255  # the distance to nothing


@dataclass
class Found:
    """By number of an image in the inventory, train before test.

    `group` int64 (train images,): the group of each, -1 where it is alone. `leaks`: test images that have a
    near-duplicate in train, as (test image, train image, distance). `pairs`: how many pairs of train images
    have each distance; `examples`: some of them.
    """

    group: np.ndarray
    leaks: list[tuple[int, int, int]]
    pairs: dict[int, int] = field(default_factory=dict)
    examples: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


def near_duplicates(
    hashed: np.ndarray, train_images: int, threshold: int, emit: Callable[[str], None]
) -> Found:
    """Of `HASHED` (n,), the first `train_images` of which are train images."""
    search = _Search(hashed, train_images, threshold)
    progress = Progress("comparing the hashes", None, "near pairs", emit=emit)
    for first, second, distance in near_pairs(search.hashes, threshold):
        search.add(first, second, distance)
        progress.advance(len(first))
    return Found(search.groups(), search.leaks(), search.pairs, search.examples)


class _Search:
    """Gathers what the pairs of different hashes say of the images that have them."""

    def __init__(self, hashed: np.ndarray, train_images: int, threshold: int):
        self.hashed, self.train_images = hashed, train_images
        self.numbers = np.flatnonzero(hashed["decodes"])
        self.hashes, inverse = np.unique(hashed["hash"][self.numbers], return_inverse=True)
        self.of_train = self.numbers < train_images
        count = len(self.hashes)
        self.code = inverse
        self.in_train = np.bincount(inverse[self.of_train], minlength=count)
        self.in_test = np.bincount(inverse[~self.of_train], minlength=count)
        self.joined = Groups(count)
        # Of each hash, the nearest one that a train image has: itself, where one has it.
        self.nearest = np.arange(count)
        self.distance = np.where(self.in_train > 0, 0, NONE)
        self.first_image = np.full(count, -1)
        train, codes = self.numbers[self.of_train][::-1], inverse[self.of_train][::-1]
        self.first_image[codes] = train  # the first train image with the hash is written last
        self.pairs = dict.fromkeys(range(threshold + 1), 0)
        self.pairs[0] = int((self.in_train * (self.in_train - 1) // 2).sum())
        self.examples: dict[int, list[tuple[int, int]]] = {0: self._same()}

    def add(self, first: np.ndarray, second: np.ndarray, distance: np.ndarray) -> None:
        """Pairs of different hashes, by their places in `hashes`."""
        both = (self.in_train[first] > 0) & (self.in_train[second] > 0)
        self.joined.join(first[both], second[both])
        for bits in np.unique(distance[both]).tolist():
            here = np.flatnonzero(both & (distance == bits))
            weights = self.in_train[first[here]] * self.in_train[second[here]]
            self.pairs[bits] += int(weights.sum())
            shown = self.examples.setdefault(bits, [])
            for place in here[: SHOWN_PAIRS - len(shown)]:
                shown.append((int(self.first_image[first[place]]), int(self.first_image[second[place]])))
        for one, other in ((first, second), (second, first)):
            leaking = (self.in_test[one] > 0) & (self.in_train[other] > 0)
            self._come_nearer(one[leaking], other[leaking], distance[leaking])

    def groups(self) -> np.ndarray:
        """The group of each train image, numbered as the groups begin; -1 for one that is alone."""
        labels = self.joined.labels()[self.code[self.of_train]]
        _, first, inverse, sizes = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        several = np.flatnonzero(sizes > 1)
        number = np.full(len(sizes), -1)
        number[several[np.argsort(first[several])]] = np.arange(len(several))
        group = np.full(self.train_images, -1)
        group[self.numbers[self.of_train]] = number[inverse]
        return group

    def leaks(self) -> list[tuple[int, int, int]]:
        tests, codes = self.numbers[~self.of_train], self.code[~self.of_train]
        there = self.distance[codes] < NONE
        tests, codes = tests[there], codes[there]
        images, distances = self.first_image[self.nearest[codes]], self.distance[codes]
        return list(zip(tests.tolist(), images.tolist(), distances.tolist(), strict=True))

    def _come_nearer(self, tests: np.ndarray, trains: np.ndarray, distance: np.ndarray) -> None:
        order = np.argsort(-distance, kind="stable")  # the nearest is written last
        tests, trains, distance = tests[order], trains[order], distance[order]
        nearer = distance < self.distance[tests]
        self.nearest[tests[nearer]], self.distance[tests[nearer]] = trains[nearer], distance[nearer]

    def _same(self) -> list[tuple[int, int]]:
        """Some pairs of train images with one hash."""
        pairs = []
        for code in np.flatnonzero(self.in_train > 1)[:SHOWN_PAIRS]:
            same = self.numbers[self.of_train & (self.code == code)]
            pairs.append((int(same[0]), int(same[1])))
        return pairs
