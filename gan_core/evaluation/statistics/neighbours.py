"""Nearest neighbours and balls around points, worked through in blocks of pairs.

The squared distances of a block come from one float32 matrix product, `|x|² + |y|² - 2 x.y` of centred rows,
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
        distances[rows.cpu()] = squared.sqrt().cpu().numpy()
        numbers[rows.cpu()] = found.cpu().numpy()
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
        self.centre = _mean(points).to(self.device)
        # TF32 and bfloat16 products, where a program allows them, are far outside the bound.
        exact = torch.get_float32_matmul_precision() == "highest"
        self.dtype = torch.float32 if exact else torch.float64

    def row_blocks(self) -> Iterator[torch.Tensor]:
        """The numbers of the queries, int64 (rows,), in blocks."""
        yield from torch.arange(len(self.queries), device=self.device).split(ROWS)

    def squared(self, values: np.ndarray | None) -> torch.Tensor | None:
        return None if values is None else torch.from_numpy(values).to(self.device).double().square()

    def nearest(
        self, rows: torch.Tensor, k: int, dtype: torch.dtype | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared distances and numbers (rows, k) of the points nearest to these queries."""
        dtype = dtype or self.dtype
        most = min(k + SPARE, len(self.points))
        low = torch.empty(len(rows), 0, dtype=dtype, device=self.device)
        numbers = torch.empty(len(rows), 0, dtype=torch.int64, device=self.device)
        for columns, block, _ in self._bounds(rows, dtype):
            kept = block.topk(min(most, block.shape[1]), dim=1, largest=False, sorted=False)
            low = torch.cat([low, kept.values], dim=1)
            numbers = torch.cat([numbers, kept.indices + columns.start], dim=1)
            kept = low.topk(min(most, low.shape[1]), dim=1, largest=False)
            low, numbers = kept.values, numbers.gather(1, kept.indices)
        squared = _direct(self.queries, self.points, rows.repeat_interleave(most), numbers.flatten())
        squared = squared.view(len(rows), most).masked_fill(low.isinf(), torch.inf)
        found = squared.topk(k, dim=1, largest=False)
        squared, numbers = found.values, numbers.gather(1, found.indices)
        # What is no candidate is no nearer than the last candidate's bound, and nothing is nearer than 0.
        # What float64 cannot tell apart either is equal.
        unsure = (squared[:, -1] > low[:, -1].double()) & (squared[:, -1] > 0)
        if dtype != torch.float64 and most < len(self.points) and unsure.any():
            squared[unsure], numbers[unsure] = self.nearest(rows[unsure], k, torch.float64)
        return squared, numbers

    def pairs(
        self, rows: torch.Tensor, of_queries: torch.Tensor | None, of_points: torch.Tensor | None
    ) -> Iterator[Pairs]:
        for columns, block, slack in self._bounds(rows, self.dtype):
            near = torch.zeros_like(block, dtype=torch.bool)
            if of_points is not None:
                near |= block <= of_points[columns].to(block.dtype) * (1 + 2 * UNIT)
            if of_queries is not None:
                near |= block <= of_queries[rows, None].to(block.dtype) * (1 + 2 * UNIT)
            i, j = torch.nonzero(near, as_tuple=True)
            low = block[i, j].double()
            yield Pairs(rows[i], j + columns.start, low, low + slack[0][i] + slack[1][j])

    def _bounds(
        self, rows: torch.Tensor, dtype: torch.dtype
    ) -> Iterator[tuple[slice, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]]:
        """Blocks of columns: a lower bound of each squared distance (rows, columns), and by how much the
        upper bound is above it: the sum of a number of the row and of the column, float64."""
        # Rounding of the centred rows (4 units), of the squared norms and of a sum of D + 2 products (Higham
        # 2002, section 3.1), each relative to |x|² + |y|².
        error = (self.points.shape[1] + 16) * torch.finfo(dtype).eps / 2
        x, x_norms = self._centred(_rows(self.queries, rows, self.device), dtype)
        ones = x.new_ones(len(x), 1)
        left = torch.cat([-2 * x, ((1 - error) * x_norms).to(dtype)[:, None], ones], dim=1)
        for start in range(0, len(self.points), COLUMNS):
            columns = slice(start, min(start + COLUMNS, len(self.points)))
            y, y_norms = self._centred(self.points[columns].to(self.device).double(), dtype)
            ones = y.new_ones(len(y), 1)
            right = torch.cat([y, ones, ((1 - error) * y_norms).to(dtype)[:, None]], dim=1)
            block = left @ right.T
            if self.same:
                here = torch.nonzero((rows >= start) & (rows < columns.stop)).flatten()
                block[here, rows[here] - start] = torch.inf
            yield columns, block, (2 * error * x_norms, 2 * error * y_norms)

    def _centred(self, rows: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows, float64, less the centre, and their squared norms in float64."""
        centred = (rows - self.centre).to(dtype)
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
