"""Pairs of hashes that differ in few bits, found without comparing all with all, and the groups they make."""

import itertools
from collections.abc import Iterator

import numpy as np

BITS = 64
ROWS, COLUMNS = 1024, 8192  # hashes that are compared at a time: 75 MB
SETTLE = 2**20  # edges that are kept before they become groups

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def near_pairs(hashes: np.ndarray, threshold: int) -> Iterator[Pairs]:
    """All pairs of these different hashes, uint64 (n,), that differ in at most `threshold` bits: (first,
    second, distance), int64 (p,) each, a part of them at a time, every pair once.

    The bits are cut into `threshold` + 1 bands: two such hashes agree in one band at least, so that only
    those that share the bits of a band are compared (Manku et al. 2007, "Detecting Near-Duplicates for Web
    Crawling").
    """
    masks = _band_masks(threshold + 1)
    for number, mask in enumerate(masks):
        bits = hashes & mask
        order = np.argsort(bits, kind="stable")
        ends = np.flatnonzero(np.diff(bits[order])) + 1
        for start, end in itertools.pairwise([0, *ends.tolist(), len(order)]):
            if end - start > 1:
                yield from _pairs_within(hashes, order[start:end], threshold, masks[:number])


def _band_masks(count: int) -> list[np.uint64]:
    edges = [BITS * band // count for band in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(edges)]


def _pairs_within(
    hashes: np.ndarray, members: np.ndarray, threshold: int, earlier: list[np.uint64]
) -> Iterator[Pairs]:
    """The near pairs among `members`, without those that an earlier band has given."""
    for top in range(0, len(members), ROWS):
        rows = members[top : top + ROWS]
        for left in range(top, len(members), COLUMNS):
            columns = members[left : left + COLUMNS]
            differing = hashes[rows][:, None] ^ hashes[columns][None]
            near = np.bitwise_count(differing) <= threshold
            near &= np.arange(left, left + len(columns)) > np.arange(top, top + len(rows))[:, None]
            row, column = np.nonzero(near)
            different = differing[row, column]
            new = np.ones(len(row), dtype=bool)
            for mask in earlier:
                new &= (different & mask) != 0
            if new.any():
                distance = np.bitwise_count(different[new]).astype(np.int64)
                yield rows[row[new]], columns[column[new]], distance


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
