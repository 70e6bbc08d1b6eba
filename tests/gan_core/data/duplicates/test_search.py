"""Near pairs of hashes, against comparing all with all."""

import itertools

import numpy as np
import pytest

from gan_core.data.duplicates import search
from gan_core.data.duplicates.search import Groups, near_pairs


def flipped(hashes, bits, random):
    """The hashes with so many different bits flipped."""
    for _ in range(len(hashes)):
        places = np.array([random.choice(64, bits, replace=False) for _ in hashes], dtype=np.uint64)
    return hashes ^ np.bitwise_or.reduce(np.uint64(1) << places, axis=1)


def some_hashes(count=300, seed=0):
    """Random hashes, and others at each distance up to 12 from one of them."""
    random = np.random.RandomState(seed)
    base = random.randint(0, 2**63, count, dtype=np.uint64)
    near = [flipped(base[: count // 10], bits, random) for bits in range(1, 13)]
    return np.unique(np.concatenate([base, *near]))


def brute_force(hashes, threshold):
    values = [int(value) for value in hashes]
    pairs = itertools.combinations(range(len(values)), 2)
    distances = ((a, b, (values[a] ^ values[b]).bit_count()) for a, b in pairs)
    return sorted(found for found in distances if found[2] <= threshold)


@pytest.mark.parametrize("threshold", [0, 1, 4, 10, 16])
def test_all_near_pairs_are_found_once(threshold, monkeypatch):
    monkeypatch.setattr(search, "ROWS", 7)
    monkeypatch.setattr(search, "COLUMNS", 13)
    hashes = some_hashes()
    found = [
        (min(a, b), max(a, b), d)
        for part in near_pairs(hashes, threshold)
        for a, b, d in zip(*(column.tolist() for column in part), strict=True)
    ]
    assert sorted(found) == brute_force(hashes, threshold)
    assert len(found) >= 30 * threshold - 5  # there is something to find


def test_groups_are_the_components_of_a_graph(monkeypatch):
    monkeypatch.setattr(search, "SETTLE", 50)
    random = np.random.RandomState(0)
    edges = random.randint(0, 500, (400, 2))
    expected = {node: {node} for node in range(500)}
    for a, b in edges.tolist():
        if expected[a] is not expected[b]:
            expected[a] |= expected[b]
            for node in expected[b]:
                expected[node] = expected[a]
    groups = Groups(500)
    for part in np.array_split(edges, 20):
        groups.join(part[:, 0], part[:, 1])
    labels = groups.labels()
    for node in range(500):
        assert set(np.flatnonzero(labels == labels[node]).tolist()) == expected[node]


def test_an_edge_that_comes_many_times_stays_an_edge():
    groups = Groups(3)
    groups.join(np.zeros(256, dtype=np.int64), np.ones(256, dtype=np.int64))
    assert groups.labels()[0] == groups.labels()[1] != groups.labels()[2]
