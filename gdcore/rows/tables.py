"""Where rows live: in arrays, or in a table that is read piece by piece and never lies in memory as a whole.

Every pass of `gdcore.fit` over linear models and all rows is a sum over rows, a `fold` of some function over pieces. `pieces`
cuts a table where the backends cut arrays, and their sums are carried from one piece to the next in the order of the rows, so
that the result is that of the same rows in memory in the same order, C or Fortran, to the bit, however a file is cut. Where
the rows lie on other machines (`gdcore.rows.cluster`) only the place of the sum changes.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses
from gdcore.backends import BACKENDS, loops
from gdcore.losses.targets import check_targets
from gdcore.rows.arrays import no_weight
from gdcore.rows.moments import Moments, engine_for, first_means

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gdcore._types import Array, Floats

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

    dtype: Any = np.dtype(np.float64)
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

    def blocks(self) -> Iterator[Piece]:
        """All rows in their order, in blocks of any size; values are finite, or an error names the place."""
        raise NotImplementedError

    def _checked(self) -> Iterator[Piece]:
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
                found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                if found != f"{self.dtype} {wanted}":
                    says = f"but the table says {self.dtype} {wanted}"
                    raise ValueError(f"{name} of the rows from {start} on is {found}, {says}")
            yield Piece(X[...], Y[...], None if s is None else s[...])
            start += m

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
        kept: list[Piece] = []
        have = total = 0  # fewer than ``least`` rows are kept back
        for block in self._checked():
            many, start = len(block.X), 0
            total += many
            if kept and have + many >= least:
                start = least - have
                yield _joined([*kept, _part(block, 0, start)])
                kept, have = [], 0
            whole = start + (many - start) // least * least if not kept else start
            for low in range(start, whole, most):  # without a copy
                yield _part(block, low, min(low + most, whole))
            if whole < many:
                kept.append(_part(block, whole, many))
                have += many - whole
        if kept:
            yield _joined(kept)
        self.rows = total

    def cut(self, size: int) -> Iterator[Piece]:
        """All rows in their order, in pieces of just so many rows, however they come; the last may be smaller."""
        for piece in self.pieces(size):
            for start in range(0, len(piece.X), size):
                yield _part(piece, start, min(start + size, len(piece.X)))

    def fold(
        self,
        part: Callable[..., Any],
        n_threads: int,
        add: Callable[[Any, Any], Any] = operator.add,
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
        return _joined(blocks)


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


def fold(
    X: Array | Table,
    Y: Array | None,
    sample_weight: Array | None,
    part: Callable[..., Any],
    n_threads: int,
    add: Callable[[Any, Any], Any] = operator.add,
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


def _folded(pieces: Iterable[Piece], part: Any, n_threads: int, add: Any, carries: bool) -> Any:
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


def columns_of(X: Array | Table, sample_weight: Array | None, n_threads: int) -> Moments:
    """`Moments.of_each_column`, of arrays or of a table."""
    if isinstance(X, Table):
        moments: Moments = X.fold(_each_column, n_threads)
        return moments
    return Moments.of_each_column(X, sample_weight)


def _each_column(piece: Piece, n_threads: int) -> Moments:
    return Moments.of_each_column(piece.X, piece.sample_weight)


class Piecewise:
    """A backend for tables: the same functions, each a fold. X is the table, which has Y and sample_weight; or arrays."""

    def __init__(self, name: str) -> None:
        self.name, self.backend = name, BACKENDS[name]
        self.gradient_norm = self.backend.gradient_norm
        self.permutation, self.descend_batches = self.backend.permutation, self.backend.descend_batches  # of arrays

    def loss_gradient(
        self,
        X: Array | Table,
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
        multiple = self.backend.whole_rows(np.empty((1, len(weights)), weights.dtype), None, weights.shape[1])
        part = functools.partial(
            loss_sums, backend=self.name, weights=weights, bias=bias, loss=loss, parameter=parameter, smoothing=smoothing
        )
        sums = fold(X, Y, sample_weight, part, n_threads, multiple=multiple)
        value: tuple[float, Array, Array | None] = self.backend.settled(sums, weights, bias, l1, l2)
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

        return loops.descend(
            lambda: self.loss_gradient(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, l1, l2),
            lambda grad, bias_grad: self.gradient_norm(weights, grad, bias_grad, l1),
            lambda *how: loops.advance(self._step, weights, bias, gradient, bias_gradient, how, decimals, l1),
            weights, bias, gradient, bias_gradient, lr, epochs, history, done, tol, optimizer, state, steps, ceiling,
        )  # fmt: skip

    def _step(self, parameters: Array, along: Array, lr: float, rule: Any, state: Array | None, *rest: Any) -> None:
        """The backend's step, which wants the state's rows side by side."""
        whole = None if state is None else np.ascontiguousarray(state)
        self.backend.step(parameters, along, lr, rule, whole, *rest)
        if state is not None and whole is not None and whole is not state:
            state[:] = whole


def loss_sums(piece: Piece, n_threads: int, carried: Floats | None = None, *, backend: str, **how: Any) -> Floats:
    """A part of a `fold`: a backend's ``partial``."""
    weights, bias = how.pop("weights"), how.pop("bias")
    targets = losses.get(how.get("loss", "mse")).targets
    check_targets(piece.Y, targets, weights.shape[1], "in a piece of the table Y")
    sums: Floats = BACKENDS[backend].partial(
        piece.X, piece.Y, weights, bias, piece.sample_weight, n_threads, carried=carried, **how
    )
    return sums
