"""Sums of the cubic kernel over pairs of images, tile by tile: what KID, its interval and the tests between
experiments are made of. The memory does not grow with the number of pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

# The kernel matrix is computed in squares of this side, which stay in a processor's cache.
TILE = 512


@dataclass(frozen=True)
class KernelSums:
    """Means of k(x, z) = (x.z / D + 1)^3 over generated x (n) and real z (m), in float64.

    `own` (n,): mean over j != i of k(x_i, x_j); `cross` (n,): mean over j of k(x_i, z_j); `real` (m,): mean
    over i of k(x_i, z_j). `own_square` and `cross_square`: the mean of k^2 over the same pairs.
    `of_self`: the mean of k(x_i, x_i).
    """

    own: np.ndarray
    cross: np.ndarray
    real: np.ndarray
    own_square: float
    cross_square: float
    of_self: float


def kernel_sums(generated: torch.Tensor, real: torch.Tensor) -> KernelSums:
    """The means for features (n, D) and (m, D)."""
    x, z = _centred(generated, real)
    n, m = len(x), len(z)
    own, own_square = _within(x)
    cross = _between(x, z)
    return KernelSums(
        own=(own / (n - 1)).numpy(),
        cross=(cross.rows / m).numpy(),
        real=(cross.columns / n).numpy(),
        own_square=own_square / (n * (n - 1)),
        cross_square=cross.squares / (n * m),
        of_self=float(x.diagonal().mean()),
    )


def subset_distances(
    generated: torch.Tensor, real: torch.Tensor, *, subsets: int, size: int, seed: int
) -> np.ndarray:
    """The unbiased squared MMD (S,) of subsets of features (n, D) and (m, D), drawn as torch-fidelity does.

    Products are of float32 about the real mean, sums of float64.
    """
    x, z = _centred(generated, real)
    numbers = np.random.RandomState(seed)
    drawn = [
        [torch.from_numpy(numbers.choice(len(side), size, replace=False)) for side in (x, z)]
        for _ in range(subsets)
    ]
    if len(x) * len(z) > subsets * size * size / 2:
        return np.array([_distance(x.chosen(of_x), z.chosen(of_z)) for of_x, of_z in drawn])
    # The subsets of small sets hold the same pairs again and again: each is computed once.
    x = x.with_subsets([of_x for of_x, _ in drawn])
    z = z.with_subsets([of_z for _, of_z in drawn])
    within = _within_subsets(x) + _within_subsets(z)
    return (within / (size * (size - 1)) - 2 * _between(x, z).subsets / size**2).numpy()


def _distance(x: "_Centred", z: "_Centred") -> float:
    size = len(x)
    within = _within(x)[0].sum() + _within(z)[0].sum()
    return float(within / (size * (size - 1)) - 2 * _between(x, z).rows.sum() / size**2)


@dataclass(frozen=True)
class _Centred:
    """Features as x = c + d: x.z / D + 1 = d_x.d_z / D + a_x + a_z, where a = d.c / D + (c.c / D + 1) / 2.

    The products d_x.d_z, which are the work, are of float32: of what is left without the common part, so that
    the error is that of the features' spread and not of their offset. `subsets` (n, S): 1 where a row is in a
    subset.
    """

    rows: torch.Tensor
    parts: torch.Tensor
    subsets: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, numbers: torch.Tensor) -> "_Centred":
        return _Centred(self.rows[numbers], self.parts[numbers])

    def with_subsets(self, subsets: list[torch.Tensor]) -> "_Centred":
        of_rows = self.parts.new_zeros(len(self), len(subsets))
        for column, numbers in enumerate(subsets):
            of_rows[numbers, column] = 1
        return _Centred(self.rows, self.parts, of_rows)

    def tiles(self) -> Iterator[slice]:
        for start in range(0, len(self), TILE):
            yield slice(start, min(start + TILE, len(self)))

    def diagonal(self) -> torch.Tensor:
        """k(x, x) of every row."""
        squares = (self.rows[:, None] @ self.rows[:, :, None]).double().flatten()
        return (squares + 2 * self.parts) ** 3


def _centred(x: torch.Tensor, z: torch.Tensor) -> tuple[_Centred, _Centred]:
    dimensions = x.shape[1]
    centre = z.double().mean(dim=0)
    constant = (centre @ centre / dimensions + 1) / 2
    found = []
    for features in (x, z):
        rest = features.double() - centre
        rows = (rest / dimensions**0.5).to(torch.float32)
        found.append(_Centred(rows, rest @ centre / dimensions + constant))
    return found[0], found[1]


class _Sums:
    """Adds up the kernel of one tile after another, without new memory for each: `rows` (n,), `columns` (m,),
    `squares`, and `subsets` (S,) where there are any."""

    def __init__(self, x: _Centred, z: _Centred):
        self.x, self.z = x, z
        self.rows, self.columns = x.parts.new_zeros(len(x)), x.parts.new_zeros(len(z))
        self.squares = 0.0
        self.subsets = None if x.subsets is None else x.parts.new_zeros(x.subsets.shape[1])
        most = min(TILE, len(x)) * min(TILE, len(z))
        self.products = x.rows.new_empty(most)
        self.bases, self.kernels = x.parts.new_empty(most), x.parts.new_empty(most)

    def add(self, rows: slice, columns: slice) -> None:
        """Add the kernel of these rows of x with these rows of z."""
        kernel = self._kernel(rows, columns)
        self.rows[rows] += kernel.sum(dim=1)
        self.columns[columns] += kernel.sum(dim=0)
        self.squares += float(kernel.flatten() @ kernel.flatten())
        if self.subsets is not None:
            self.subsets += (self.x.subsets[rows] * (kernel @ self.z.subsets[columns])).sum(dim=0)

    def _kernel(self, rows: slice, columns: slice) -> torch.Tensor:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        product, base, kernel = (
            buffer[: shape[0] * shape[1]].view(shape) for buffer in (self.products, self.bases, self.kernels)
        )
        torch.matmul(self.x.rows[rows], self.z.rows[columns].T, out=product)
        base.copy_(product)
        base += self.x.parts[rows, None]
        base += self.z.parts[None, columns]
        torch.mul(base, base, out=kernel)
        kernel *= base
        return kernel


def _between(x: _Centred, z: _Centred) -> _Sums:
    """Over all pairs of two sets."""
    sums = _Sums(x, z)
    for rows in x.tiles():
        for columns in z.tiles():
            sums.add(rows, columns)
    return sums


def _halves(x: _Centred) -> tuple[_Sums, _Sums]:
    """Over the tiles on the diagonal, and over those right of it, which stand for those left of it too."""
    on, right = _Sums(x, x), _Sums(x, x)
    for rows in x.tiles():
        on.add(rows, rows)
        for columns in x.tiles():
            if columns.start > rows.start:
                right.add(rows, columns)
    return on, right


def _within(x: _Centred) -> tuple[torch.Tensor, float]:
    """Over pairs i != j of one set: the sum of each row (n,), and of the squares."""
    on, right = _halves(x)
    diagonal = x.diagonal()
    squares = on.squares + 2 * right.squares - float(diagonal @ diagonal)
    return on.rows + right.rows + right.columns - diagonal, squares


def _within_subsets(x: _Centred) -> torch.Tensor:
    """Over pairs i != j of one set: the sum of each subset (S,)."""
    on, right = _halves(x)
    return on.subsets + 2 * right.subsets - x.subsets.T @ x.diagonal()
