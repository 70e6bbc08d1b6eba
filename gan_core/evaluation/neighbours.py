"""Nearest neighbours and balls around points, worked through in blocks of pairs.

The squared distances of a block come from one float32 matrix product, |x|² + |y|² - 2 x.y of centred rows,
with a proven bound of its rounding error. The product only proposes pairs: whatever its error could decide
otherwise is computed again in float64 from the difference of the two rows, so that results are those of
float64, ties included. Memory does not grow with the number of pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gan_core.devices import default_device
from gan_core.errors import EvaluationError

ROWS, COLUMNS = 2048, 4096  # pairs of a block: 32 MB of float32
DIRECT_VALUES = 1 << 22  # float64 values of the rows whose difference is taken at once: 32 MB
SPARE = 8  # candidates beside the k nearest
UNIT = 2.0**-24  # half the distance from 1 to the next float32
TIE = 1e-12  # two squared distances this close, relatively, are one: float64 rounds sums of 2048 terms so


@dataclass(frozen=True)
class Pairs:
    """Pairs of a query and a point, by number, int64 (P,), with `low` <= squared distance <= `high` (P,)."""

    queries: torch.Tensor
    points: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def nearest(
    queries: torch.Tensor, points: torch.Tensor, k: int, *, same: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest of `points` (N, D) to each of `queries` (M, D): distances float64 (M, k), ascending,
    and their numbers int64 (M, k); equal distances in any order.

    `same`: both are one set, and no row is a neighbour of itself. More neighbours than there are points, rows
    of different lengths, NaN and infinity are an `EvaluationError`.
    """
    _check(queries, points)
    there = len(points) - same
    if not 1 <= k <= there:
        raise EvaluationError(
            f"{k} nearest neighbours cannot be found among {there} images: evaluate more images"
        )
    distances, numbers = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    search = _Blocks(queries, points, same)
    for rows in search.row_blocks():
        squared, found = search.nearest(rows, k)
        distances[rows] = squared.sqrt().cpu().numpy()
        numbers[rows] = found.cpu().numpy()
    return distances, numbers


def radii(points: torch.Tensor, k: int) -> np.ndarray:
    """The distance of each point (N, D) to its k-th nearest other one: float64 (N,)."""
    return nearest(points, points, k, same=True)[0][:, -1]


def pairs_in_balls(
    queries: torch.Tensor,
    points: torch.Tensor,
    *,
    query_radii: np.ndarray | None = None,
    point_radii: np.ndarray | None = None,
    same: bool = False,
) -> Iterator[Pairs]:
    """All pairs that may be nearer than the query's radius or the point's, block by block: `within` decides.

    Radii are float64 (M,) and (N,); of one side, or of both. `same` leaves out a row's pair with itself.
    """
    _check(queries, points)
    search = _Blocks(queries, points, same)
    of_queries, of_points = search.squared(query_radii), search.squared(point_radii)
    for rows in search.row_blocks():
        yield from search.pairs(rows, of_queries, of_points)


def within(
    queries: torch.Tensor,
    points: torch.Tensor,
    pairs: Pairs,
    pair_radii: torch.Tensor,
    *,
    inclusive: bool = False,
) -> torch.Tensor:
    """Whether the distance of each pair is less than its radius (or equal, if `inclusive`), bool (P,).

    Decided in float64; squared distances that differ by `TIE` are equal.
    """
    bound = pair_radii.double().square() * (1 + TIE if inclusive else 1 - TIE)
    inside = (pairs.high < bound) | (inclusive & (pairs.high == bound))
    open_ones = torch.nonzero(~inside & (pairs.low <= bound)).flatten()
    if len(open_ones):
        squared = _direct(queries, points, pairs.queries[open_ones], pairs.points[open_ones])
        inside[open_ones] = squared <= bound[open_ones] if inclusive else squared < bound[open_ones]
    return inside


class _Blocks:
    """The pairs of two sets, a block at a time."""

    def __init__(self, queries: torch.Tensor, points: torch.Tensor, same: bool):
        self.queries, self.points, self.same = queries, points, same
        self.device = default_device()
        self.centre = _mean(points)
        # TF32 and bfloat16 products, where a program allows them, are far outside the bound.
        exact = torch.get_float32_matmul_precision() == "highest"
        self.dtype = torch.float32 if exact else torch.float64
        # Rounding of the centred rows (4 units), of the squared norms and of a sum of D + 2 products (Higham
        # 2002, section 3.1), each relative to |x|² + |y|².
        self.error = (points.shape[1] + 16) * UNIT

    def row_blocks(self) -> Iterator[slice]:
        for start in range(0, len(self.queries), ROWS):
            yield slice(start, min(start + ROWS, len(self.queries)))

    def squared(self, values: np.ndarray | None) -> torch.Tensor | None:
        return None if values is None else torch.from_numpy(values).to(self.device).double().square()

    def nearest(self, rows: slice, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared distances and numbers (rows, k)."""
        count = rows.stop - rows.start
        most = min(k + SPARE, len(self.points))
        low = torch.empty(count, 0, device=self.device)
        numbers = torch.empty(count, 0, dtype=torch.int64, device=self.device)
        for columns, block, _ in self._bounds(rows):
            kept = block.topk(min(most, block.shape[1]), dim=1, largest=False, sorted=False)
            low = torch.cat([low, kept.values], dim=1)
            numbers = torch.cat([numbers, kept.indices + columns.start], dim=1)
            kept = low.topk(min(most, low.shape[1]), dim=1, largest=False)
            low, numbers = kept.values, numbers.gather(1, kept.indices)
        lines = torch.arange(rows.start, rows.stop, device=self.device)
        squared = _direct(self.queries, self.points, lines.repeat_interleave(most), numbers.flatten())
        squared = squared.view(count, most).masked_fill(low.isinf(), torch.inf)
        found = squared.topk(k, dim=1, largest=False)
        squared, numbers = found.values, numbers.gather(1, found.indices)
        # What is no candidate is no nearer than the last candidate's bound.
        unsure = (squared[:, -1] > low[:, -1].double()) & (most < len(self.points))
        for row in torch.nonzero(unsure).flatten().tolist():
            squared[row], numbers[row] = self._nearest_of_all(rows.start + row, squared[row, -1], k)
        return squared, numbers

    def _nearest_of_all(self, row: int, bound: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The k nearest of one query among all points that may be as near as `bound` (squared)."""
        line = slice(row, row + 1)
        close = [
            torch.nonzero(block[0].double() <= bound * (1 + TIE)).flatten() + columns.start
            for columns, block, _ in self._bounds(line)
        ]
        numbers = torch.cat(close)
        squared = _direct(self.queries, self.points, torch.full_like(numbers, row), numbers)
        found = squared.topk(k, largest=False)
        return found.values, numbers[found.indices]

    def pairs(
        self, rows: slice, of_queries: torch.Tensor | None, of_points: torch.Tensor | None
    ) -> Iterator[Pairs]:
        for columns, block, norms in self._bounds(rows):
            near = torch.zeros_like(block, dtype=torch.bool)
            if of_points is not None:
                near |= block <= of_points[columns].to(block.dtype) * (1 + 2 * UNIT)
            if of_queries is not None:
                near |= block <= of_queries[rows, None].to(block.dtype) * (1 + 2 * UNIT)
            i, j = torch.nonzero(near, as_tuple=True)
            low = block[i, j].double()
            high = low + 2 * self.error * (norms[0][i] + norms[1][j])
            yield Pairs(i + rows.start, j + columns.start, low, high)

    def _bounds(self, rows: slice) -> Iterator[tuple[slice, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]]:
        """Blocks of columns: a lower bound of each squared distance (rows, columns), and both sides' squared
        norms, float64: the upper bound is 2 `error` (|x|² + |y|²) above it."""
        x, x_norms = self._centred(self.queries[rows])
        ones = x.new_ones(len(x), 1)
        scaled = 1 - self.error
        left = torch.cat([-2 * x, (scaled * x_norms).to(x.dtype)[:, None], ones], dim=1)
        for start in range(0, len(self.points), COLUMNS):
            columns = slice(start, min(start + COLUMNS, len(self.points)))
            y, y_norms = self._centred(self.points[columns])
            ones = y.new_ones(len(y), 1)
            right = torch.cat([y, ones, (scaled * y_norms).to(y.dtype)[:, None]], dim=1)
            block = left @ right.T
            first, last = max(rows.start, start), min(rows.stop, columns.stop)
            if self.same and first < last:
                own = torch.arange(first, last, device=self.device)
                block[own - rows.start, own - start] = torch.inf
            yield columns, block, (x_norms, y_norms)

    def _centred(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows less the centre, and their squared norms in float64."""
        centred = (rows.to(self.device).double() - self.centre.to(self.device)).to(self.dtype)
        norms = centred.double().square().sum(dim=1)
        if not norms.isfinite().all():
            raise EvaluationError(
                "features are NaN or infinite: look at the images and at the extractor's weights"
            )
        return centred, norms


def _direct(queries: torch.Tensor, points: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    """Squared distances (P,) in float64 of the differences of rows."""
    device, step = i.device, max(1, DIRECT_VALUES // queries.shape[1])
    parts = [
        (_rows(queries, i[start : start + step], device) - _rows(points, j[start : start + step], device))
        .square_()
        .sum(dim=1)
        for start in range(0, len(i), step)
    ]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64, device=device)


def _rows(of: torch.Tensor, numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    return of[numbers.to(of.device)].to(device).double()


def _mean(points: torch.Tensor) -> torch.Tensor:
    """The mean row in float64, without a float64 copy of all."""
    total = sum(part.double().sum(dim=0) for part in points.split(COLUMNS))
    return total / len(points)


def _check(queries: torch.Tensor, points: torch.Tensor) -> None:
    if queries.dim() != 2 or points.dim() != 2 or queries.shape[1] != points.shape[1]:
        raise EvaluationError(
            f"features of {tuple(queries.shape)} and of {tuple(points.shape)} do not compare: use one "
            "extractor for both"
        )
