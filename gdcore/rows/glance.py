"""What is noted of rows while they go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.rows.moments import Moments
from gdcore.rows.split import uniform
from gdcore.rows.tables import Piece

if TYPE_CHECKING:
    from gdcore._types import Array


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
        marks = np.append(self.marks, uniform(self.count, len(X), seed=1))
        best, before = np.sort(np.argsort(marks, kind="stable")[: self.size]), len(self.marks)
        new = best[best >= before] - before  # nearly all rows go by, and only these are copied
        X, Y = X[new], Y[new]
        if self.sample is not None:
            kept = best[best < before]
            X, Y = np.concatenate([self.sample.X[kept], X]), np.concatenate([self.sample.Y[kept], Y])
        self.marks, self.sample, self.count = marks[best], Piece(X, Y, None), self.count + len(marks) - before
