"""Weights by value: what quantiles and ranks of a column need of rows that come in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


_DIGITS = 52  # bits behind the first one, in float64


class Tally:
    """How much all rows of each value weigh, in one column or in several.

    Memory is bounded: of more than ``most`` values as many of their last bits are cut off as make them fewer. Up to there
    what follows from a tally is exact.

    Parameters
    ----------
    columns : int
        Weights of a row.
    most : int
        Values that are kept apart; up to twice as many rows wait until equal ones are joined.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add(np.array([3.0, 1.0, 3.0]), np.array([1.0, 1.0, 2.0]))
    >>> tally.values, tally.weights[:, 0]
    (array([1., 3.]), array([1., 3.]))
    """

    def __init__(self, columns: int = 1, most: int = 1 << 20) -> None:
        self._most, self._cut = most, 0
        self._values: list[Floats] = [np.empty(0)]
        self._weights: list[Floats] = [np.empty((0, columns))]
        self._waiting = 0

    def add(self, values: Array, weights: Array) -> None:
        """Rows: values (m,), weights (m,) or (m, columns)."""
        self._values.append(values.astype(np.float64))
        self._weights.append(weights.astype(np.float64).reshape(len(values), -1))
        self._waiting += len(values)
        if self._waiting > 2 * self._most:
            self._join()

    @property
    def rows(self) -> tuple[Floats, Floats]:
        """Values and what they weigh, of which equal ones are not all joined: what sums over them need."""
        return np.concatenate(self._values), np.concatenate(self._weights)

    @property
    def values(self) -> Floats:
        """The values, rising."""
        self._join()
        return self._values[0]

    @property
    def weights(self) -> Floats:
        """(values, columns): what they weigh."""
        self._join()
        return self._weights[0]

    def quantile(self, tau: float) -> float:
        """The τ-quantile by the first column's weights: half-way between two values where all between them are; NaN of no
        weight.

        >>> tally = Tally()
        >>> tally.add(np.array([4.0, 1.0, 2.0, 10.0]), np.ones(4))
        >>> tally.quantile(0.5), tally.quantile(0.9)
        (3.0, 10.0)
        """
        values, weights = self.values, self.weights[:, 0]
        values, below = values[weights > 0], np.cumsum(weights[weights > 0])
        if not len(values):
            return float("nan")
        wanted = tau * below[-1]
        at = min(int(np.searchsorted(below, wanted)), len(values) - 1)
        after = min(at + (below[at] == wanted), len(values) - 1)
        return float(values[at] + (values[after] - values[at]) / 2)

    def _join(self) -> None:
        if len(self._values) == 1:
            return
        values, weights = np.concatenate(self._values), np.concatenate(self._weights)
        while True:
            if self._cut:
                bits = values.view(np.int64)
                bits &= -1 << self._cut
            found, places = np.unique(values, return_inverse=True)
            columns = [np.bincount(places, column, minlength=len(found)) for column in weights.T]
            values, weights = found, np.stack(columns, axis=1)
            if len(values) <= self._most or self._cut == _DIGITS:
                break
            self._cut += 1
        self._values, self._weights, self._waiting = [values], [weights], len(values)
