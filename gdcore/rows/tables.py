"""Where rows live: in arrays, or in a table that is read piece by piece and never lies in memory as a whole.

Every pass of `gdcore.fit` over linear models and all rows is a sum over rows, a `fold` of some function over pieces. `pieces`
cuts a table where the backends cut arrays, and their sums are carried from one piece to the next in the order of the rows, so
that the result is that of the same rows in memory in the same order, C or Fortran, to the bit, however a file is cut. Where
the rows lie on other machines (`gdcore.rows.dask.cluster`) only the place of the sum changes.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.rows.arrays import check_finite, no_weight
from gdcore.rows.coded import Coded, dense, joined, products, rows_at_once
from gdcore.rows.moments import Moments, engine_for, first_means

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gdcore._types import Add, Array, Floats, Part

PIECE_BYTES = 1 << 24
"""At most about so many bytes of X come in a piece."""
_LEAST_BYTES = 1 << 20  # smaller blocks are joined


class Piece(NamedTuple):
    """Consecutive rows."""

    X: Array
    """(m, d), of the table's dtype."""
    Y: Array
    """(m, k), (m, 1) classes for softmax, or (m, 0) where the table has no target."""
    sample_weight: Array | None

    @property
    def weights(self) -> Floats:
        """(m,) how much each row counts, float64: 1 where rows have no weights."""
        return np.ones(len(self.X)) if self.sample_weight is None else self.sample_weight.astype(np.float64)


class Block(NamedTuple):
    """Consecutive rows, whose categories may still be codes."""

    X: Array | Coded
    """Of the shape and dtype of a piece's."""
    Y: Array
    sample_weight: Array | None

    @classmethod
    def joined(cls, blocks: Sequence[Block | Piece]) -> Block:
        """The rows of several, in their order."""
        if not blocks:
            raise ValueError("the table has no rows")
        if len(blocks) == 1:
            return cls(*blocks[0])
        s = [part for part in (block.sample_weight for block in blocks) if part is not None]
        X, Y = joined([block.X for block in blocks]), np.concatenate([block.Y for block in blocks])
        return cls(X, Y, np.concatenate(s) if s else None)

    @property
    def nbytes(self) -> int:
        """As they lie here."""
        return int(self.X.nbytes) + self.Y.nbytes + (0 if self.sample_weight is None else self.sample_weight.nbytes)

    def of(self, rows: slice) -> Block:
        """Some of the rows."""
        if rows.start == 0 and rows.stop == len(self.X):
            return self
        return Block(self.X[rows], self.Y[rows], None if self.sample_weight is None else self.sample_weight[rows])

    def piece(self) -> Piece:
        """With X as an array."""
        return Piece(dense(self.X), self.Y, self.sample_weight)


class Table:
    """Rows that come in pieces.

    A subclass says where from: it sets the attributes and defines `blocks`.

    Attributes
    ----------
    names : list of str
        The columns of X.
    rows : int or None
        n, where it is known before the first pass.
    target_shape : tuple of int
        () for one target, (k,) for k of them.
    classes : int or None
        How many classes the target has, where it is classes.
    labels : tuple
        What the classes are called, where that is known.
    weighted : bool
        Whether rows have weights.
    far : bool
        Whether the rows lie on other machines: none of them is then brought here, and a pass measures what a sample would.
    tells_constants : bool
        Whether it warns by itself of columns that hold one value.
    whole : str
        How a person gets all rows as arrays.
    """

    dtype: np.dtype[Any] = np.dtype(np.float64)
    ndim = 2
    far = False
    tells_constants = False
    whole = "X, Y, sample_weight = table.read()"
    names: list[str]
    rows: int | None = None
    target_shape: tuple[int, ...] = ()
    classes: int | None = None
    labels: tuple[Any, ...] = ()
    weighted = False

    def blocks(self) -> Iterator[Piece] | Iterator[Block]:
        """All rows in their order, in blocks of any size; values are finite, or an error names the place."""
        raise NotImplementedError

    def _checked(self) -> Iterator[Block]:
        """`blocks`, each of which has what the attributes say; views, whose shapes nobody can change."""
        start, k = 0, self.target_shape[0] if self.target_shape else 1
        for block in self.blocks():
            X, Y, s = block
            m = len(X)
            parts: list[tuple[str, Any, tuple[int, ...]]] = [("X", X, (m, len(self.names))), ("Y", Y, (m, k))]
            if (s is not None) != self.weighted:
                has = "no sample_weight" if s is None else "sample_weight"
                raise ValueError(f"the rows from {start} on have {has}, but the table says weighted = {self.weighted}")
            for name, array, wanted in parts if s is None else [*parts, ("sample_weight", s, (m,))]:
                known = isinstance(array, (np.ndarray, Coded))
                found = f"{array.dtype} {array.shape}" if known else type(array).__name__
                if found != f"{self.dtype} {wanted}":
                    says = f"but the table says {self.dtype} {wanted}"
                    raise ValueError(f"{name} of the rows from {start} on is {found}, {says}")
            yield Block(X[...], Y[...], None if s is None else s[...])
            start += m

    def check_finite(self) -> None:
        """ValueError with the place of a NaN or an infinity that `blocks` has let through; of rows that are far tasks look."""
        start = 0
        for X, Y, s in () if self.far else self._checked():
            for name, array in (("X", dense(X)), ("Y", Y), *([] if s is None else [("sample_weight", s)])):
                check_finite(array, name, start)
            start += len(X)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d); counts the rows, by reading them, where their number is not known yet."""
        return len(self), len(self.names)

    def __len__(self) -> int:
        if self.rows is None:
            self.rows = sum(len(block.X) for block in self._checked())
        return self.rows

    def pieces(self, multiple: int) -> Iterator[Piece]:
        """All rows in their order, in pieces of a multiple of so many rows; the last may be smaller."""
        row = 8 * len(self.names) * multiple
        least, most = -(-_LEAST_BYTES // row) * multiple, max(1, PIECE_BYTES // row) * multiple
        small = max(least, rows_at_once(len(self.names)) // multiple * multiple)
        kept: list[Block] = []
        have = total = 0  # fewer than ``least`` rows are kept back
        for block in self._checked():
            many, start = len(block.X), 0
            total += many
            if kept and have + many >= least:
                start = least - have
                yield Block.joined([*kept, block.of(slice(0, start))]).piece()
                kept, have = [], 0
            whole = start + (many - start) // least * least if not kept else start
            step = small if isinstance(block.X, Coded) else most
            for low in range(start, whole, step):  # arrays without a copy
                yield block.of(slice(low, min(low + step, whole))).piece()
            if whole < many:
                kept.append(block.of(slice(whole, many)))
                have += many - whole
        if kept:
            yield Block.joined(kept).piece()
        self.rows = total

    def cut(self, size: int) -> Iterator[Piece]:
        """All rows in their order, in pieces of just so many rows, however they come; the last may be smaller."""
        for piece in self.pieces(size):
            for start in range(0, len(piece.X), size):
                yield Block(*piece).of(slice(start, min(start + size, len(piece.X)))).piece()

    def fold(
        self,
        part: Part,
        n_threads: int,
        add: Add = operator.add,
        multiple: int | None = None,
    ) -> Any:
        """What `fold` says, over all rows of the table."""
        if multiple is not None:
            return _folded(self.pieces(multiple), part, n_threads, add, carries=True)
        return _folded(self.cut(_step(len(self.names))), part, n_threads, add, carries=False)

    def moments(self, n_threads: int, backend: str, target: bool) -> Moments:
        """`Moments.of` all rows, with the target's where ``target`` says so."""
        d, k = len(self.names), (self.target_shape or (1,))[0] if target else 0
        engine = engine_for(d + k, backend)
        multiple = int(engine.whole_rows(np.empty((1, d)), np.empty((1, k)) if k else None, moments=True))

        def measure(shift: Floats | None) -> tuple[Floats, Floats]:
            sums = None
            for piece in self.pieces(multiple):
                y, s = piece.Y if target else None, piece.sample_weight
                if shift is None:
                    if s is not None and not s.any():
                        continue
                    shift = first_means(piece.X, y, s)
                sums = engine.moments(piece.X, y, s, shift, n_threads, sums)
            if sums is None or shift is None:
                raise ValueError(no_weight() if self.rows else "the table has no rows")
            return sums, shift

        return Moments.measured(measure, d, lambda: len(self))

    def farthest(self, weights: Floats, bias: Floats | None, n_threads: int) -> float:
        """What `farthest` says, of all rows."""
        part = functools.partial(farthest_of, weights=weights, bias=bias)
        return float(self.fold(part, n_threads, max))

    def keep(self) -> None:
        """Says that passes will follow: rows that are far stay in memory where they are."""

    def free(self) -> None:
        """Says that no more will follow soon."""

    def card(self) -> dict[str, Any] | None:
        """What a model has to know to be used on another such table, as what JSON can hold; None where that is nothing."""
        return None

    def read(self) -> Piece:
        """All rows as arrays, for what needs them at once: networks and mini-batches."""
        blocks = list(self._checked())
        self.rows = sum(len(block.X) for block in blocks)
        return Block.joined(blocks).piece()


def fold(
    X: Array | Table,
    Y: Array | None,
    sample_weight: Array | None,
    part: Part,
    n_threads: int,
    add: Add = operator.add,
    multiple: int | None = None,
) -> Any:
    """The sum over all rows of arrays or of a table, piece by piece: ``add(… add(part(first), part(second)) …, part(last))``.

    ``part(piece, n_threads)`` gives the sum of a piece's rows. With a ``multiple``, of whose rows pieces are then made, it
    carries the sum of the rows before instead, ``part(piece, n_threads, carried)``, None at first, as the backends do. A part
    can be pickled, for it may run on another machine; ``add`` then serves there, whether it carries or not.
    """
    if isinstance(X, Table):
        return X.fold(part, n_threads, add, multiple)
    return _folded(_cut(X, Y, sample_weight, multiple), part, n_threads, add, multiple is not None)


def _folded(pieces: Iterable[Piece], part: Part, n_threads: int, add: Add, carries: bool) -> Any:
    total = None
    for piece in pieces:
        if carries:
            total = part(piece, n_threads, total)
        else:
            value = part(piece, n_threads)
            total = value if total is None else add(total, value)
    return total


def _cut(X: Array, Y: Array | None, sample_weight: Array | None, multiple: int | None) -> Iterator[Piece]:
    """Arrays in pieces: small enough that a temporary of their size does not matter, or of a multiple of so many rows."""
    d = max(1, X.shape[1])
    step = _step(d) if multiple is None else max(1, PIECE_BYTES // (8 * d * multiple)) * multiple
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        y = np.empty((len(X[part]), 0)) if Y is None else Y[part]
        yield Piece(X[part], y, None if sample_weight is None else sample_weight[part])


def _step(columns: int) -> int:
    """Rows so few that a temporary of their size does not matter; arrays and tables are cut alike, for the same bits."""
    return max(1, (1 << 20) // columns)


def moments_of(
    X: Array | Table, Y: Array | None, sample_weight: Array | None, n_threads: int, backend: str, target: bool = True
) -> Moments:
    """`Moments.of`, of arrays or of a table; ``target``: with the table's target."""
    if isinstance(X, Table):
        return X.moments(n_threads, backend, target)
    return Moments.of(X, Y, sample_weight, n_threads, backend)


def farthest(X: Array | Table, sample_weight: Array | None, weights: Floats, bias: Floats | None, n_threads: int) -> float:
    """The largest |XW + b| of rows that have a weight, in float64 whatever the rows are: what they tell, it shall tell."""
    if isinstance(X, Table):
        return X.farthest(weights, bias, n_threads)
    part = functools.partial(farthest_of, weights=weights, bias=bias)
    return float(fold(X, None, sample_weight, part, n_threads, max))


def farthest_of(block: Block | Piece, n_threads: int, *, weights: Floats, bias: Floats | None) -> float:
    """`farthest` of some rows."""
    out = products(block.X, weights, bias)
    if block.sample_weight is not None:
        out = out[block.sample_weight > 0]
    return float(np.abs(out).max(initial=0.0))


def columns_of(X: Array | Table, sample_weight: Array | None, n_threads: int) -> Moments:
    """`Moments.of_each_column`, of arrays or of a table."""
    if isinstance(X, Table):
        moments: Moments = X.fold(_each_column, n_threads)
        return moments
    return Moments.of_each_column(X, sample_weight)


def _each_column(piece: Piece, n_threads: int) -> Moments:
    return Moments.of_each_column(piece.X, piece.sample_weight)
