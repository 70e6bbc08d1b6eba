"""Pairs of hashes that differ in few bits, found without comparing all with all, and the groups they make."""

import itertools
import logging
from collections.abc import Callable, Iterator

import numpy as np

from gan_core.progress import Progress

logger = logging.getLogger("gan_core")
BITS = 64
SETTLE = 2**20  # edges that are kept before they become groups

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def near_pairs(
    hashes: np.ndarray, threshold: int, emit: Callable[[str], None] = logger.info
) -> Iterator[Pairs]:
    """All pairs of these different hashes, uint64 (n,), that differ in at most `threshold` bits: (first,
    second, distance), int64 (p,) each, a part of them at a time, every pair once.

    The bits are cut into `threshold` + 1 bands: two such hashes agree in one band at least, so that only
    those that share the bits of a band are compared (Manku et al. 2007, "Detecting Near-Duplicates for Web
    Crawling").
    """
    masks = _band_masks(threshold + 1)
    comparisons = sum(_comparisons(hashes & mask) for mask in masks)
    progress = Progress("comparing the hashes", comparisons, "pairs", emit=emit)
    for number, mask in enumerate(masks):
        order = np.argsort(hashes & mask, kind="stable")
        for first, second in _runs(hashes[order] & mask):
            one, other = order[first], order[second]
            differing = hashes[one] ^ hashes[other]
            new = np.bitwise_count(differing) <= threshold
            for earlier in masks[:number]:
                new &= (differing & earlier) != 0  # else that band has given the pair
            if new.any():
                yield one[new], other[new], np.bitwise_count(differing[new]).astype(np.int64)
            progress.advance(len(first))


def _band_masks(count: int) -> list[np.uint64]:
    edges = [BITS * band // count for band in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(edges)]


def _comparisons(bits: np.ndarray) -> int:
    counts = np.unique(bits, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _runs(ascending: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of places with equal values: those next to each other, those two apart, and so on."""
    ends = np.append(np.flatnonzero(np.diff(ascending)) + 1, len(ascending))
    end_of_run = np.repeat(ends, np.diff(ends, prepend=0))
    places = np.arange(len(ascending))
    for apart in itertools.count(1):
        places = places[places + apart < end_of_run[places]]
        if not len(places):
            return
        yield places, places + apart


class Groups:
    """What is joined, directly or by others in between: `labels()` int64 (n,), equal within a group."""

    def __init__(self, count: int):
        self._labels = np.arange(count)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._edges = 0

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        self._waiting.append((first, second))
        self._edges += len(first)
        if self._edges >= SETTLE:
            self._settle()

    def labels(self) -> np.ndarray:
        self._settle()
        return self._labels

    def _settle(self) -> None:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        if not self._waiting:
            return
        first, second = (self._labels[np.concatenate(side)] for side in zip(*self._waiting, strict=True))
        self._waiting, self._edges = [], 0
        shape = (len(self._labels), len(self._labels))
        graph = coo_matrix((np.ones(len(first), dtype=bool), (first, second)), shape=shape)
        self._labels = connected_components(graph, directed=False)[1][self._labels]
