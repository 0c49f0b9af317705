"""The rows as every part of a path takes them: a table, cut into pieces of one size however it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.rows.tables import Piece, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array


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
