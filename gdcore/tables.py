"""Where rows live: in arrays, or in a table that is read piece by piece and never lies in memory as a whole.

Every pass of `gdcore.fit` over linear models and all rows is a sum over rows. `pieces` cuts a table where the backends cut
arrays, and their sums are carried from one piece to the next in the order of the rows, so that the result is that of the same
rows in memory, to the bit, however a file is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.backends import loops
from gdcore.moments import Moments, engine_for, first_means

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array, Floats

PIECE_BYTES = 1 << 24
"""About so many bytes of X come in a piece."""


class Piece(NamedTuple):
    """Consecutive rows."""

    X: Array
    """(m, d), row-contiguous float64."""
    Y: Array
    """(m, k), (m, 1) classes for softmax, or (m, 0) where the table has no target."""
    sample_weight: Array | None


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
    """

    dtype = np.dtype(np.float64)
    ndim = 2
    names: list[str]
    rows: int | None = None
    target_shape: tuple[int, ...] = ()
    classes: int | None = None
    labels: tuple[Any, ...] = ()
    weighted = False

    def blocks(self) -> Iterator[Piece]:
        """All rows in their order, in blocks of any size; values are finite, or an error names the place."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d); counts the rows, by reading them, where their number is not known yet."""
        return len(self), len(self.names)

    def __len__(self) -> int:
        if self.rows is None:
            self.rows = sum(len(block.X) for block in self.blocks())
        return self.rows

    def pieces(self, multiple: int) -> Iterator[Piece]:
        """All rows in their order, in pieces of a multiple of so many rows; the last may be smaller."""
        size = max(1, PIECE_BYTES // (8 * len(self.names) * multiple)) * multiple
        kept: list[Piece] = []
        have = total = 0
        for block in self.blocks():
            total += len(block.X)
            start = 0
            while have + len(block.X) - start >= size:
                stop = start + size - have
                kept.append(_part(block, start, stop))
                yield _joined(kept)
                kept, have, start = [], 0, stop
            if start < len(block.X):
                kept.append(_part(block, start, len(block.X)))
                have += len(block.X) - start
        if kept:
            yield _joined(kept)
        self.rows = total

    def read(self) -> Piece:
        """All rows as arrays, for what needs them at once: networks and mini-batches."""
        whole = _joined(list(self.blocks()))
        self.rows = len(whole.X)
        return whole


def _part(piece: Piece, start: int, stop: int) -> Piece:
    if start == 0 and stop == len(piece.X):
        return piece
    s = piece.sample_weight
    return Piece(piece.X[start:stop], piece.Y[start:stop], None if s is None else s[start:stop])


def _joined(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        raise ValueError("the table has no rows")
    s = [piece.sample_weight for piece in pieces]
    weights = None if s[0] is None else np.concatenate([part for part in s if part is not None])
    return Piece(np.concatenate([piece.X for piece in pieces]), np.concatenate([piece.Y for piece in pieces]), weights)


def moments_of(
    X: Array | Table,
    Y: Array | None,
    sample_weight: Array | None,
    n_threads: int,
    backend: str,
    target: bool = True,
) -> Moments:
    """`Moments.of`, of arrays or of a table; ``target``: with the table's target. ``sample_weight`` replaces the table's."""
    if not isinstance(X, Table):
        return Moments.of(X, Y, sample_weight, n_threads, backend)
    carried = shift = None
    engine: Any = None
    start = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in X.pieces(_whole(X, target, backend)):
            y = piece.Y if target else None
            s = piece.sample_weight if sample_weight is None else sample_weight[start : start + len(piece.X)]
            start += len(piece.X)
            if shift is None:
                if s is not None and not s.any():
                    continue
                shift = first_means(piece.X, y, s)
                engine = engine_for(len(shift), backend)
            carried = engine.moments(piece.X, y, s, shift, n_threads, carried)
        if carried is None or shift is None:
            raise ValueError("the table has no rows")
        return Moments.settled(carried, shift, len(X.names), start)


def _whole(X: Table, target: bool, backend: str) -> int:
    d, k = len(X.names), (X.target_shape or (1,))[0] if target else 0
    y = np.empty((1, k)) if k else None
    return int(engine_for(d + k, backend).whole_rows(np.empty((1, d)), y, moments=True))


class Piecewise:
    """A backend for tables: the same functions, each a fold over the pieces. X is the table; Y and sample_weight are its."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.gradient_norm = backend.gradient_norm

    def loss_gradient(
        self,
        X: Table,
        Y: Any,
        weights: Array,
        bias: Array | None,
        sample_weight: Any = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        smoothing: float = 0.0,
    ) -> tuple[float, Array, Array | None]:
        """The objective, ∇W and ∇b over all rows."""
        carried: Floats | None = None
        multiple = self.backend.whole_rows(np.empty((1, len(weights))), None, weights.shape[1])
        for piece in X.pieces(multiple):
            carried = self.backend.partial(
                piece.X, piece.Y, weights, bias, piece.sample_weight, n_threads, loss, parameter, smoothing, carried
            )
        value: tuple[float, Array, Array | None] = self.backend.settled(carried, weights, bias, l1, l2)
        return value

    def loss(self, *arguments: Any, **options: Any) -> float:
        """The objective."""
        return self.loss_gradient(*arguments, **options)[0]

    def descend(
        self,
        X: Table,
        Y: Any,
        weights: Array,
        bias: Array | None,
        gradient: Array,
        bias_gradient: Array | None,
        lr: float | Floats,
        epochs: int,
        history: Floats,
        done: Array,
        sample_weight: Any = None,
        tol: float = -1.0,
        decimals: int | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        optimizer: Any = None,
        state: Array | None = None,
        steps: Array | None = None,
        ceiling: float = np.inf,
    ) -> str:
        """Full-batch epochs: see `gdcore.backends.reference.descend`."""

        def advance(rate: float, rule: Any, kept: Array | None, number: int) -> None:
            rest = np.zeros(weights.shape[1]) if bias is None else bias
            flat = np.concatenate([weights.T.ravel(), rest])
            along = np.concatenate([gradient.T.ravel(), np.zeros_like(rest) if bias_gradient is None else bias_gradient])
            size = weights.size if bias is None else len(flat)
            whole = kept if kept is None or size == len(flat) else np.ascontiguousarray(kept[:, :size])
            self.backend.step(flat[:size], along[:size], rate, rule, whole, number, decimals)
            if kept is not None and whole is not None and whole is not kept:
                kept[:, :size] = whole
            if l1 > 0:
                w = flat[: weights.size]
                flat[: weights.size] = np.sign(w) * np.maximum(np.abs(w) - rate * l1, 0)
            weights[:] = flat[: weights.size].reshape(weights.T.shape).T
            if bias is not None:
                bias[:] = flat[weights.size :]

        return loops.descend(
            lambda: self.loss_gradient(X, Y, weights, bias, None, n_threads, loss, parameter, l1, l2),
            lambda grad, bias_grad: self.gradient_norm(weights, grad, bias_grad, l1),
            advance,
            weights, bias, gradient, bias_gradient, lr, epochs, history, done, tol, optimizer, state, steps, ceiling,
        )  # fmt: skip


def row_pieces(X: Array | Table, Y: Array, sample_weight: Array | None, engine: Any) -> Iterator[Piece]:
    """Consecutive rows of arrays or of a table, cut where the second moments of X may be cut."""
    d = len(X.names) if isinstance(X, Table) else X.shape[1]
    multiple = engine.whole_rows(np.empty((1, d), X.dtype), None, moments=True)
    if isinstance(X, Table):
        yield from X.pieces(multiple)
        return
    step = max(1, PIECE_BYTES // (8 * d * multiple)) * multiple
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        yield Piece(X[part], Y[part], None if sample_weight is None else sample_weight[part])


def row_blocks(X: Array | Table, Y: Array, sample_weight: Array | None) -> Iterator[Piece]:
    """Consecutive rows of arrays or of a table, each piece small enough that a temporary of its size does not matter."""
    step = max(1, (1 << 20) // max(1, len(X.names) if isinstance(X, Table) else X.shape[1]))
    for piece in X.pieces(step) if isinstance(X, Table) else [Piece(X, Y, sample_weight)]:
        for start in range(0, len(piece.X), step):
            yield _part(piece, start, min(start + step, len(piece.X)))
