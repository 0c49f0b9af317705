"""Which rows do not train, and what is noted of rows while they go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


def uniform(start: int, count: int, seed: int) -> Floats:
    """A number in [0, 1) for each row from ``start`` on, by its place alone (SplitMix64: Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64((seed + 1) * 0xD1B54A32D192ED03 & 0xFFFFFFFFFFFFFFFF)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    numbers: Floats = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def held_out(start: int, count: int, share: float, seed: int) -> Array:
    """Which rows from ``start`` on are held out: each by its number in the table, however it is read."""
    return uniform(start, count, seed) < share


class Glance:
    """What is noted of rows while they go by for the first time, so that nobody has to read them again for it.

    Attributes
    ----------
    moments : Moments or None
        Of [X, Y], or of Y alone.
    size : int
        How many rows to draw; 0 unless it is set.
    sample : Piece or None
        The rows that have been drawn, in their order.
    complete : bool
        Whether all rows have gone by.
    """

    def __init__(self, target_only: bool = False) -> None:
        self.target_only, self.size, self.complete = target_only, 0, False
        self.begin()

    def begin(self) -> None:
        """Forgets the rows of a pass that did not end."""
        self.moments: Moments | None = None
        self.sample: Piece | None = None
        self.marks, self.count = np.empty(0), 0

    def take(self, piece: Piece) -> None:
        """Rows that go by."""
        X, Y, s = piece
        if not len(X) or not Y.shape[1] or not (s is None or s.any()):
            return
        moments = Moments.of(Y, None, s) if self.target_only else Moments.of(X, Y, s)
        self.moments = moments if self.moments is None else self.moments + moments
        if self.size:
            self._draw(X, Y)

    def _draw(self, X: Array, Y: Array) -> None:
        marks = uniform(self.count, len(X), seed=1)
        self.count += len(X)
        if self.sample is not None:
            marks = np.concatenate([self.marks, marks])
            X, Y = np.concatenate([self.sample.X, X]), np.concatenate([self.sample.Y, Y])
        best = np.sort(np.argsort(marks, kind="stable")[: self.size])
        self.marks, self.sample = marks[best], Piece(X[best], Y[best], None)
