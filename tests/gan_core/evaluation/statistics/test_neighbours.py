import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from gan_core.errors import EvaluationError
from gan_core.evaluation.statistics import neighbours
from gan_core.evaluation.statistics.neighbours import nearest, pairs_in_balls, radii, within


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", 37)
    monkeypatch.setattr(neighbours, "COLUMNS", 23)
    monkeypatch.setattr(neighbours, "DIRECT_VALUES", 100)


def rows(count, dimensions, seed, offset=0.0):
    drawn = np.random.RandomState(seed).normal(offset, 1, (count, dimensions))
    return torch.from_numpy(drawn).float()


def balls(queries, points, *, inclusive=False, same=False, query_radii=None, point_radii=None):
    """Counts (M, N) of pairs that are inside, of either side's radii."""
    counts = np.zeros((len(queries), len(points)), dtype=int)
    of_queries = point_radii is None
    given = torch.from_numpy(query_radii if of_queries else point_radii)
    found = pairs_in_balls(queries, points, query_radii=query_radii, point_radii=point_radii, same=same)
    for pairs in found:
        limits = given[pairs.queries if of_queries else pairs.points]
        hits = within(queries, points, pairs, limits, inclusive=inclusive)
        np.add.at(counts, (pairs.queries[hits].numpy(), pairs.points[hits].numpy()), 1)
    return counts


@pytest.mark.parametrize("count, dimensions, offset", [(60, 3, 0), (150, 40, 1e4), (90, 300, -20)])
def test_nearest_neighbours_are_those_of_all_distances(small_blocks, count, dimensions, offset):
    queries, points = rows(count, dimensions, 0, offset), rows(110, dimensions, 1, offset)
    points[20:60] = points[20]
    queries[3], queries[5] = points[4], points[25]
    all_distances = cdist(queries.double(), points.double())
    distances, numbers = nearest(queries, points, 5)
    np.testing.assert_allclose(distances, np.sort(all_distances, axis=1)[:, :5], rtol=1e-12)
    np.testing.assert_array_equal(
        np.take_along_axis(all_distances, numbers, axis=1).round(9), distances.round(9)
    )
    assert all(len(set(line)) == 5 for line in numbers.tolist())


def test_neighbours_that_float32_cannot_order_are_found_in_float64(small_blocks):
    # All points are at distances that differ by less than the rounding of the float32 product.
    far = 1000 + np.random.RandomState(2).permutation(100)[:, None] * 1e-4
    points = torch.from_numpy(np.concatenate([far, -far]).astype(np.float32))
    queries = torch.zeros(3, 1)
    expected = np.sort(points.double().abs().numpy().ravel())[:5]
    np.testing.assert_array_equal(nearest(queries, points, 5)[0], np.tile(expected, (3, 1)))


def test_no_row_is_its_own_neighbour(small_blocks):
    points = rows(80, 4, 3)
    points[7] = points[40]
    expected = cdist(points.double(), points.double())
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_allclose(radii(points, 3), np.sort(expected, axis=1)[:, 2], rtol=1e-12)
    assert nearest(points, points, 1, same=True)[0][7] == 0


@pytest.mark.parametrize("inclusive", [False, True])
def test_ties_are_decided_as_in_exact_arithmetic(small_blocks, inclusive):
    # On a grid of whole numbers very many distances equal a radius.
    grid = np.random.RandomState(4).randint(-3, 4, (130, 3))
    queries, points = torch.from_numpy(grid[:50]).float(), torch.from_numpy(grid[50:]).float()
    squared = ((grid[:50, None] - grid[None, 50:]) ** 2).sum(axis=2)
    bounds = np.random.RandomState(5).randint(1, 12, 80)
    expected = squared <= bounds if inclusive else squared < bounds
    assert (squared == bounds).sum() > 50
    found = balls(queries, points, point_radii=np.sqrt(bounds), inclusive=inclusive)
    np.testing.assert_array_equal(found, expected)
    of_queries = balls(points, queries, query_radii=np.sqrt(bounds), inclusive=inclusive)
    np.testing.assert_array_equal(of_queries, expected.T)


def test_pairs_of_one_set_leave_out_each_row_itself(small_blocks):
    points = rows(60, 5, 6)
    everything = balls(points, points, point_radii=np.full(60, 100.0), same=True)
    np.testing.assert_array_equal(everything, 1 - np.eye(60, dtype=int))


def test_bytes_are_compared_exactly(small_blocks):
    pixels = torch.from_numpy(np.random.RandomState(7).randint(0, 256, (70, 768), dtype=np.uint8))
    whole = pixels.numpy().astype(np.int64)
    squared = ((whole[:30, None] - whole[None, 30:]) ** 2).sum(axis=2)
    distances, numbers = nearest(pixels[:30], pixels[30:], 2)
    np.testing.assert_allclose(distances**2, np.sort(squared, axis=1)[:, :2], rtol=1e-14)
    np.testing.assert_array_equal(numbers, np.argsort(squared, axis=1)[:, :2])


def test_a_program_that_allows_inexact_products_gets_the_same_neighbours():
    queries, points = rows(50, 8, 8), rows(60, 8, 9)
    expected = nearest(queries, points, 4)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = nearest(queries, points, 4)
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(EvaluationError, match="5 nearest neighbours .* among 4 images"):
        radii(rows(5, 3, 0), 5)
    with pytest.raises(EvaluationError, match=r"\(10, 3\) and of \(10, 4\)"):
        nearest(rows(10, 3, 0), rows(10, 4, 0), 1)
    broken = rows(10, 3, 0)
    broken[4, 1] = torch.nan
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        nearest(rows(10, 3, 0), broken, 1)
