"""A table whose rows weigh more or less by their class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gdcore.rows.tables import Block, Piece, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gdcore._types import Array, Floats

R = TypeVar("R", Block, Piece)


def balanced(pieces: Iterable[Piece], classes: int) -> Floats:
    """For each class a factor by which all classes weigh the same: n / (k·nₖ), of rows or of their weights; 0 for a class
    without any.

    >>> balanced([Piece(np.zeros((4, 1)), np.array([[0.0], [0.0], [0.0], [1.0]]), None)], 2)
    array([0.66666667, 2.        ])
    """
    totals = np.zeros(classes)
    for _, Y, s in pieces:
        totals += np.bincount(Y[:, 0].astype(np.intp), s, minlength=classes)
    factors: Floats = np.divide(totals.sum(), classes * totals, out=np.zeros(classes), where=totals > 0)
    return factors


def reweighted(rows: R, factors: Floats) -> R:
    """The rows with weights of their own times their class's factor."""
    own: Array = factors[rows.Y[:, 0].astype(np.intp)]
    return rows._replace(sample_weight=own if rows.sample_weight is None else own * rows.sample_weight)


class Reweighted(Table):
    """The rows of another table, with such weights.

    Parameters
    ----------
    table : Table
    factors : float64 array (k,)
    """

    weighted = True

    def __init__(self, table: Table, factors: Floats) -> None:
        self.table, self.factors = table, factors
        self.names, self.classes, self.labels = table.names, table.classes, table.labels
        self.rows, self.target_shape, self.tells_constants = table.rows, table.target_shape, table.tells_constants

    def blocks(self) -> Iterator[Block]:
        """See `Table`."""
        return (reweighted(Block(*block), self.factors) for block in self.table.blocks())

    def pieces(self, multiple: int) -> Iterator[Piece]:
        """See `Table`."""
        for piece in self.table.pieces(multiple):
            yield reweighted(piece, self.factors)
        self.rows = self.table.rows

    def card(self) -> dict[str, Any] | None:
        """See `Table`."""
        return self.table.card()
