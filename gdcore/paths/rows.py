"""The rows as every part of a path takes them: a table, cut into pieces of one size however it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.rows.tables import Block, Piece, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array, Floats

_ELEMENTS = 1 << 20  # of X in a piece: its copy, fold by fold, stays in a cache


class Lying(Table):
    """Checked arrays as a table: X (n, d), Y (n, k), sample_weight (n,) or None."""

    def __init__(self, X: Array, Y: Array, sample_weight: Array | None) -> None:
        self.arrays = Piece(X, Y, sample_weight)
        self.names = [str(j) for j in range(X.shape[1])]
        self.dtype, self.rows, self.target_shape, self.weighted = X.dtype, len(X), Y.shape[1:], sample_weight is not None

    def blocks(self) -> Iterator[Piece]:
        """See `Table`."""
        yield self.arrays


def numbered(table: Table) -> Iterator[tuple[int, Piece]]:
    """All rows in pieces that are the same however the table comes, each with the number of its first row."""
    start = 0
    for piece in table.cut(max(1, _ELEMENTS // len(table.names))):
        yield start, piece
        start += len(piece.X)


class Without(Table):
    """The rows of a table but for a fold's, which weigh nothing: no row is copied.

    Parameters
    ----------
    table : Table
    held : bool array (n,)
        Which rows weigh nothing.
    """

    weighted = True

    def __init__(self, table: Table, held: Array) -> None:
        self.table, self.held = table, held
        self.names, self.dtype, self.rows = table.names, table.dtype, table.rows
        self.target_shape, self.classes, self.labels = table.target_shape, table.classes, table.labels

    def blocks(self) -> Iterator[Block]:
        """See `Table`."""
        start = 0
        for block in self.table.blocks():
            m, own = len(block.X), block.sample_weight
            s = np.ones(m, self.dtype) if own is None else own.copy()
            s[self.held[start : start + m]] = 0
            yield Block(block.X, block.Y, s)
            start += m


class Scaled(Table):
    """The rows of a table in other units of their columns: x/σ, piece by piece.

    Parameters
    ----------
    table : Table
    scale : float64 array (d,)
        σ; ∞ for a column of which nothing is wanted.
    """

    def __init__(self, table: Table, scale: Floats) -> None:
        self.table, self.scale, self.weighted = table, scale, table.weighted
        self.names, self.rows, self.target_shape = table.names, table.rows, table.target_shape

    def blocks(self) -> Iterator[Piece]:
        """See `Table`."""
        for piece in self.table.pieces(1):
            X, Y, s = (None if a is None else a.astype(np.float64, copy=False) for a in piece)
            assert X is not None
            assert Y is not None
            yield Piece(X / self.scale, Y, s)
