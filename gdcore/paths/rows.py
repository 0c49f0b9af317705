"""The rows as every part of a path takes them: a table with one target, cut into pieces of one size however it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.checks import must_have_shape
from gdcore.descent.start import model_of_table, starting_model
from gdcore.rows import arrays
from gdcore.rows.dask.partitions import lazy
from gdcore.rows.moments import MOST_COLUMNS
from gdcore.rows.tables import Block, Piece, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array, Floats
    from gdcore.losses import Loss

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


def rows_of(X: Any, Y: Any, loss: Loss, sample_weight: Any, offset: Any) -> Table:
    """The rows, checked, as a table with one target."""
    if lazy(X) or (isinstance(X, Table) and X.far):
        raise TypeError("X is Dask's, whose rows are not numbered as folds need it: give X.compute(), Y.compute(), or a table")
    if isinstance(X, Table):
        for name, value in (("Y", Y), ("sample_weight", sample_weight)):
            if value is not None:
                raise TypeError(f"{name} comes with the table: found {type(value).__name__}")
        if offset is not None:
            raise TypeError(f"offset is for arrays, not for a table: found {type(offset).__name__}")
        table, shape = X, X.target_shape
        model_of_table(None, X, loss)
    else:
        if Y is None:
            raise TypeError("Y must be given beside X: found None")
        x = arrays.table(X)
        y = arrays.targets(Y, x)
        shape = y.shape[1:]
        model = starting_model(None, x, y, loss)
        s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, x)
        if s is not None and not s.all():
            arrays.check_finite(y, "Y")
        table = Lying(x, _without(y.reshape(len(x), -1), offset), s)
        if loss.targets == "classes":
            table.classes = model.outputs[0]
    if shape not in ((), (1,)):
        raise ValueError(must_have_shape("Y", "(n,) or (n, 1), one target", ("n", *shape), ": make a path of each by itself"))
    if len(table.names) > MOST_COLUMNS:
        raise ValueError(f"a path has up to {MOST_COLUMNS:,} columns, found {len(table.names):,}: leave some out")
    return table


def _without(Y: Array, offset: Any) -> Array:
    """The targets less what is added to predictions."""
    if offset is None:
        return Y
    off = arrays.floating(offset, "offset")
    if off.shape != (len(Y),):
        raise ValueError(must_have_shape("offset", f"({len(Y)},), one for each row", off.shape))
    arrays.check_finite(off, "offset")
    return Y - arrays.cast(off, Y.dtype, "offset")[:, None]


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
