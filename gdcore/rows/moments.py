"""Means and second moments of the rows of [X, Y], made in one pass: all that squared error knows of the data.

Everything is kept centred, after a shift by a first estimate of the means, because xᵀx of columns with mean 10⁶ and spread 1
has only four digits left for the spread. The first estimate is that of some first rows. Where it turns out to be far off, for
those rows were like no others or had next to no weight, the pass is made again with the means that it gave. Two tables'
moments add up to those of both (Chan, Golub and LeVeque 1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats

MOST_COLUMNS = 8000
"""Above so many columns d × d numbers are too many: a spectrum is then λmax by Lanczos steps, and nothing else."""

_SAMPLE = 128  # rows whose mean is the first estimate: pieces of tables are multiples of it
_FAR = 16.0  # squared spreads between the first estimate and the mean, from which on the pass is made again
_AGAIN = 2  # so many times
_LEAST = 1e-303  # mean squares that float64 has with all their digits
_BLAS_FROM = 512  # columns from which on NumPy's BLAS is faster than the kernel (1.6 times at 1,000, equal at 500)


_EPS = float(np.finfo(np.float64).eps)


class Moments(NamedTuple):
    """Of the rows z = [x, y] with weights s (ones where none are given).

    Attributes
    ----------
    total : float
        Σ s.
    mean : float64 array (d + k,)
        Σ s·z / Σ s.
    scatter : float64 array (d + k, d + k)
        Σ s·(z − mean)(z − mean)ᵀ.
    columns : int
        d, the number of columns of X.
    largest_row : float
        max ‖x‖² over the rows with s > 0.
    rows : int
        n.
    """

    total: float
    mean: Floats
    scatter: Floats
    columns: int
    largest_row: float
    rows: int

    @classmethod
    def of_each_column(cls, X: Array, sample_weight: Array | None = None) -> Moments:
        """With a scatter (d,) that is the diagonal only, for X with very many columns: two passes, in blocks."""
        s = np.ones(len(X)) if sample_weight is None else sample_weight.astype(np.float64)
        step = max(1, (1 << 20) // X.shape[1])
        parts = [slice(low, low + step) for low in range(0, len(X), step)]
        total = float(s.sum())
        if total == 0:
            return cls.of_nothing(X.shape[1], X.shape[1], len(X), diagonal=True)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scatter, largest = np.zeros(X.shape[1]), np.zeros(X.shape[1]), 0.0
            for part in parts:
                mean += s[part] @ np.array(X[part], np.float64, order="C") / total
            for part in parts:
                x = np.array(X[part], np.float64, order="C")
                largest = max(largest, float(np.max(np.einsum("ij,ij->i", x, x), where=s[part] > 0, initial=0.0)))
                scatter += s[part] @ (x - mean) ** 2
        return cls(total, mean, scatter, X.shape[1], largest, len(X))

    @classmethod
    def of_nothing(cls, columns: int, size: int, rows: int, diagonal: bool = False) -> Moments:
        """Of rows that all have the weight 0; ``size`` is d + k."""
        return cls(0.0, np.zeros(size), np.zeros(size if diagonal else (size, size)), columns, 0.0, rows)

    @classmethod
    def of(
        cls,
        X: Array,
        Y: Array | None = None,
        sample_weight: Array | None = None,
        n_threads: int = 1,
        backend: str = "kernel",
    ) -> Moments:
        """The moments of checked arrays: X (n, d), Y (n, k) or None, of one dtype."""
        engine = engine_for(X.shape[1] + (0 if Y is None else Y.shape[1]), backend)

        def measure(shift: Floats | None) -> tuple[Floats, Floats]:
            about = first_means(X, Y, sample_weight) if shift is None else shift
            return engine.moments(X, Y, sample_weight, about, n_threads), about

        return cls.measured(measure, X.shape[1], lambda: len(X))

    @classmethod
    def measured(
        cls, measure: Callable[[Floats | None], tuple[Floats, Floats]], columns: int, rows: Callable[[], int]
    ) -> Moments:
        """From passes that give the backends' sums about a shift, and the shift: at first their own choice, None."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums, shift = measure(None)
            moments = cls.settled(sums, shift, columns, rows())
            for _ in range(_AGAIN):
                if not moments.far_from(shift):
                    break
                sums, shift = measure(moments.mean)
                moments = cls.settled(sums, shift, columns, rows())
        return moments

    def far_from(self, shift: Floats) -> bool:
        """Whether the squares of what a shift leaves of a mean drown its column's scatter."""
        left = np.abs(self.mean - shift)
        rounding = 64 * _EPS * np.maximum(np.abs(self.mean), np.abs(shift))
        return bool(((left**2 * self.total > _FAR * np.diag(self.scatter)) & (left > rounding)).any())

    @classmethod
    def settled(cls, sums: Floats, shift: Floats, columns: int, rows: int) -> Moments:
        """From the backends' sums."""
        p = len(shift)
        largest, total, first = float(sums[0]), float(sums[1]), sums[2 : 2 + p]
        squares = np.triu(sums[2 + p :].reshape(p, p))
        squares = squares + np.triu(squares, 1).T
        rest = first / total
        scatter = squares - np.outer(rest, first)
        np.fill_diagonal(scatter, np.maximum(np.diag(scatter), 0.0))  # of a constant column rounding, on either side of 0
        return cls(total, shift + rest, scatter, columns, largest, rows)

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        """The moments of both tables' rows together."""
        total = self.total + other.total
        away = other.mean - self.mean
        share = other.total / total if total else 0.0
        squares = np.outer(away, away) if self.scatter.ndim == 2 else away**2
        scatter = self.scatter + other.scatter + squares * (self.total * share)
        largest, rows = max(self.largest_row, other.largest_row), self.rows + other.rows
        return Moments(total, self.mean + away * share, scatter, self.columns, largest, rows)

    def scaled(self, factor: float) -> Moments:
        """With every row's weight times a factor."""
        return self._replace(total=self.total * factor, scatter=self.scatter * factor)

    def of_columns(self) -> Moments:
        """The same of X alone."""
        d = self.columns
        return self._replace(mean=self.mean[:d], scatter=self.scatter[:d, :d])

    def gram(self, bias: bool) -> tuple[Floats, Floats]:
        """(G, μ): with a bias the covariance of [X, Y] and its means, else ZᵀZ/n and zeros. Both (d + k, …).

        With a bias, b is best given for the rows' means, b + μ·w: then nothing but G is left of the problem.
        """
        if bias:
            return self.scatter / self.total, self.mean
        if self.scatter.ndim == 1:
            return self.scatter / self.total + self.mean**2, np.zeros_like(self.mean)
        return self.scatter / self.total + np.outer(self.mean, self.mean), np.zeros_like(self.mean)

    @property
    def deviations(self) -> Floats:
        """(d + k,) the columns' standard deviations."""
        found: Floats = np.sqrt(np.diag(self.scatter) / self.total)
        return found

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.scatter).all() and np.isfinite(self.mean).all())


def first_means(X: Array, Y: Array | None, sample_weight: Array | None) -> Floats:
    """The first estimate of the means: those of the first 128 rows, or of the first 128 after them that have a weight."""
    low = 0 if sample_weight is None else int(np.argmax(sample_weight > 0)) // _SAMPLE * _SAMPLE
    first = slice(low, low + _SAMPLE)
    s = np.ones(len(X[first])) if sample_weight is None else sample_weight[first].astype(np.float64)
    s /= s.max()
    # In one memory order: NumPy adds rows and columns in different orders.
    means = [s @ np.array(a[first], np.float64, order="C") / s.sum() for a in (X, Y) if a is not None]
    return np.concatenate(means)


def engine_for(columns: int, backend: str) -> Any:
    """The backend whose second moments are the fastest."""
    return BACKENDS["reference" if columns > _BLAS_FROM else backend]


def check(moments: Moments, X: Array | None) -> None:
    """ValueError where the second moments overflow float64, or those of a column underflow."""
    if not moments.finite:
        largest = "" if X is None else f": X has values up to {float(np.max(np.abs(X[: 1 << 16]))):.3g}"
        raise ValueError(f"the squares of X overflow{largest}; scale its columns")
    d = moments.columns
    mean, scatter = moments.mean[:d], (np.diag(moments.scatter) if moments.scatter.ndim == 2 else moments.scatter)[:d]
    tiny = (scatter < _LEAST * moments.total) & (np.abs(mean) < np.sqrt(_LEAST)) & ((scatter > 0) | (mean != 0))
    if tiny.any():
        j = int(np.argmax(tiny))
        raise ValueError(f"the squares of column {j} of X, whose mean is {mean[j]:.3g}, underflow; scale the columns of X")
