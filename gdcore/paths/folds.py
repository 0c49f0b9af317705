"""Which fold a row belongs to: drawn by its number in the table, or given.

Of every K rows that follow each other each fold gets one, in an order that is drawn anew for every such K: folds are of one
size but for a row, whatever the order of the rows is, and a row's fold depends on its number and the seed alone, however the
table is cut into pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gdcore.checks import must_be, must_have_shape
from gdcore.rows.split import uniform

if TYPE_CHECKING:
    from gdcore._types import Array


class Folds(Protocol):
    """Which fold each row belongs to.

    Attributes
    ----------
    count : int
        K.
    what : str
        Which folds these are, in words.
    """

    @property
    def count(self) -> int: ...

    @property
    def what(self) -> str: ...

    def of(self, start: int, rows: int) -> Array:
        """The folds, 0 … K − 1, of so many rows from number ``start`` on: (rows,) of small integers."""


class Drawn:
    """Folds by row number and seed.

    >>> Drawn(3, seed=0).of(0, 7)
    array([0, 1, 2, 0, 1, 2, 2], dtype=uint16)
    >>> Drawn(3, seed=0).of(4, 3)
    array([1, 2, 2], dtype=uint16)
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self.what = f"{count} folds, drawn with seed {seed}"

    def of(self, start: int, rows: int) -> Array:
        """See `Folds`."""
        K = self.count
        first = start // K * K
        whole = -(-(start + rows - first) // K) * K
        drawn = np.argsort(uniform(first, whole, self.seed).reshape(-1, K), axis=1)
        found: Array = drawn.astype(_kind(K)).ravel()[start - first :][:rows]
        return found


class Given:
    """Folds by an array that names them."""

    def __init__(self, folds: Any, rows: int, what: str = "") -> None:
        try:
            labels, codes = np.unique(np.asarray(folds), return_inverse=True)
        except TypeError:  # None among text, text among numbers
            raise TypeError(must_be("folds", "numbers, or texts, one for each row", "values of several kinds")) from None
        if codes.shape != (rows,):
            raise ValueError(must_have_shape("folds", f"({rows},), one for each row", np.shape(folds)))
        if len(labels) < 2:
            raise ValueError(must_be("folds", "two or more", f"{len(labels)}"))
        self.count = len(labels)
        self._codes: Array = codes.astype(_kind(self.count))
        self.what = what or f"{self.count} folds, as given"

    def of(self, start: int, rows: int) -> Array:
        """See `Folds`."""
        return self._codes[start : start + rows]


def by_class(Y: Array, count: int, seed: int) -> Array:
    """Folds (n,) drawn of the rows of each class (n,) for itself, so that all have as many of it but for one."""
    codes = np.empty(len(Y), np.intp)
    for c, value in enumerate(np.unique(Y)):
        own = np.flatnonzero(value == Y)
        codes[own] = Drawn(count, seed + c).of(0, len(own))
    return codes


def _kind(count: int) -> Any:
    """The smallest integers, which are sorted fastest."""
    return np.uint16 if count <= 1 << 16 else np.intp
