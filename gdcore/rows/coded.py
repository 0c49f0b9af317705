"""Rows of a table as its columns are: numbers as they lie, and of a category the number of each row's value.

X has a column of zeros and ones for each value of a category but its base. `Coded.expanded` writes these, and nothing else
does; what needs the rows' products with weights only takes them from the codes: of a category it is one weight a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import EllipsisType

    from gdcore._types import Array, Floats

_BYTES = 1 << 22  # of a table's rows, about, that are made at a time, and of wide tables
_WIDE = 1 << 25  # so many for up to
_FEW = 1 << 12  # rows


class Places(NamedTuple):
    """Where columns of a table go in X."""

    numbers: tuple[int, ...]
    """Of each column of numbers its column of X."""
    categories: tuple[tuple[int, int], ...]
    """Of each category its first column of X, and how many it has there."""
    columns: int
    """Of X, in all."""


class Coded:
    """Rows.

    Parameters
    ----------
    places : Places
    numbers : sequence of array (m,)
        Of any type of numbers, or booleans.
    codes : sequence of integer array (m,)
        Of each category, 0 for its base, 1, 2, … for the values that have a column of X. What is none of them, −1, is as the
        base.

    Examples
    --------
    >>> rows = Coded(Places((0,), ((1, 2),), 3), [np.array([5.0, 6.0, 7.0])], [np.array([0, 2, 1])])
    >>> rows.expanded()
    array([[5., 0., 0.],
           [6., 0., 1.],
           [7., 1., 0.]])
    >>> rows[1:].times(np.array([[1.0], [10.0], [20.0]]))[:, 0]
    array([26., 17.])
    """

    dtype = np.dtype(np.float64)
    ndim = 2

    def __init__(self, places: Places, numbers: Sequence[Array], codes: Sequence[Array]) -> None:
        self.places, self.numbers, self.codes = places, numbers, codes

    def __len__(self) -> int:
        return len((self.numbers or self.codes)[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Of X."""
        return len(self), self.places.columns

    @property
    def nbytes(self) -> int:
        """As they lie here."""
        return sum(column.nbytes for column in (*self.numbers, *self.codes))

    def __getitem__(self, rows: slice | Array | EllipsisType) -> Coded:
        """Some of the rows: of a slice views, of numbers of rows copies."""
        return Coded(self.places, [column[rows] for column in self.numbers], [column[rows] for column in self.codes])

    def expanded(self) -> Floats:
        """X (m, d), row-contiguous."""
        (m, d), places = self.shape, self.places
        X: Floats = (np.zeros if places.categories else np.empty)((m, d))
        flat, step = X.reshape(-1), rows_at_once(d)  # which stay in cache while columns are written into them
        for start in range(0, m, step):
            rows = slice(start, start + step)
            for j, values in zip(places.numbers, self.numbers, strict=True):
                X[rows, j] = values[rows]
            before = np.arange(start * d - 1, min(m, start + step) * d - 1, d)  # the place before the row's first one
            for (first, _), codes in zip(places.categories, self.codes, strict=True):
                own = codes[rows]
                at = before + own
                at += first
                flat[at[own > 0]] = 1
        return X

    def times(self, weights: Floats, bias: Floats | None = None) -> Floats:
        """XW + b (m, k), from weights (d, k) and a bias (k,): of each row by itself, and infinite where it overflows."""
        places, total = self.places, np.empty((weights.shape[1], len(self)))
        with np.errstate(over="ignore", invalid="ignore"):
            for c, out in enumerate(total):
                out[:] = 0.0 if bias is None else bias[c]
                for j, values in zip(places.numbers, self.numbers, strict=True):
                    out += weights[j, c] * values
                for (first, width), codes in zip(places.categories, self.codes, strict=True):
                    out += np.concatenate(([0.0], weights[first : first + width, c], [0.0]))[codes]
        return total.T


def dense(X: Array | Coded) -> Array:
    """X as an array."""
    return X.expanded() if isinstance(X, Coded) else X


def joined(parts: Sequence[Array | Coded]) -> Array | Coded:
    """The rows of all, in their order; where one is an array all are."""
    coded = [part for part in parts if isinstance(part, Coded)]
    if len(coded) < len(parts):
        return np.concatenate([dense(part) for part in parts])
    return Coded(
        coded[0].places,
        [np.concatenate(columns) for columns in zip(*(part.numbers for part in coded), strict=True)],
        [np.concatenate(columns) for columns in zip(*(part.codes for part in coded), strict=True)],
    )


def products(X: Array | Coded, weights: Floats, bias: Floats | None) -> Floats:
    """XW + b (m, k) in float64, whatever X is."""
    if isinstance(X, Coded):
        return X.times(weights, bias)
    return X.astype(np.float64, order="C") @ weights + (0.0 if bias is None else bias)


def rows_at_once(columns: int) -> int:
    """How many rows of so many columns are worked on at a time: few enough that memory is used again instead of being asked of
    the system anew, and enough of wide tables, where each column has its own costs."""
    width = 8 * max(1, columns)
    return max(1, _BYTES // width, min(_FEW, _WIDE // width))
