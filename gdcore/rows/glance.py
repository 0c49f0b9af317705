"""What is noted of rows while they go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.rows.coded import dense, rows_at_once
from gdcore.rows.moments import Moments
from gdcore.rows.split import uniform
from gdcore.rows.tables import Piece

if TYPE_CHECKING:
    from gdcore._types import Array
    from gdcore.rows.coded import Coded
    from gdcore.rows.tables import Block


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

    def take(self, rows: Block | Piece) -> None:
        """Rows that go by."""
        X, Y, s = rows
        if not len(X) or not Y.shape[1] or not (s is None or s.any()):
            return
        step = len(X) if self.target_only else rows_at_once(X.shape[1])
        for part in (slice(start, start + step) for start in range(0, len(X), step)):
            self._measure(X[part], Y[part], None if s is None else s[part])
        if self.size:
            self._draw(X, Y)

    def _measure(self, X: Array | Coded, Y: Array, s: Array | None) -> None:
        if s is None or s.any():
            moments = Moments.of(Y, None, s) if self.target_only else Moments.of(dense(X), Y, s)
            self.moments = moments if self.moments is None else self.moments + moments

    def _draw(self, X: Array | Coded, Y: Array) -> None:
        own, before = uniform(self.count, len(X), seed=1), len(self.marks)
        near = np.flatnonzero(own < (self.marks.max() if before == self.size else np.inf))  # soon next to none
        marks = np.append(self.marks, own[near])
        best = np.sort(np.argsort(marks, kind="stable")[: self.size])
        new = near[best[best >= before] - before]  # nearly all rows go by, and only these are copied
        drawn = dense(X[new]), Y[new]
        if self.sample is not None:
            kept = best[best < before]
            drawn = np.concatenate([self.sample.X[kept], drawn[0]]), np.concatenate([self.sample.Y[kept], drawn[1]])
        self.marks, self.sample, self.count = marks[best], Piece(*drawn, None), self.count + len(own)
