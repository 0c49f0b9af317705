"""What runs where a partition lies: its check, a part of a pass over it, and the addition of such parts."""

from __future__ import annotations

import functools
import math
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gdcore import threads
from gdcore.checks import must_have_shape
from gdcore.losses.targets import check_targets
from gdcore.rows import arrays
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import pandas as pd

    from gdcore._types import Array, Floats

    Block: TypeAlias = Array | pd.DataFrame | pd.Series
    """A partition."""

T = TypeVar("T")

_RANGE = 1e-100, 1e100  # of the largest weight of a partition: sums of such weights neither overflow nor vanish
_ALIKE = "partitions of unknown sizes have to be those of X"


class Wanted:
    """What a partition has to be like."""

    def __init__(self, names: list[str], dtype: str, target_shape: tuple[int, ...] | None, targets: str, label: str) -> None:
        self.names, self.dtype, self.target_shape, self.targets, self.label = names, dtype, target_shape, targets, label

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return tuple(self.names), self.dtype, self.target_shape, self.targets, self.label


def piece(number: int, wanted: Wanted, x: Block, y: Block | None, s: Block | None) -> Piece:
    """A partition, checked; errors name it by its number, from 0."""
    before = f"in partition {number}: {wanted.label}"
    d, dtype = len(wanted.names), np.dtype(wanted.dtype)
    X = _floats(x, dtype, f"{before}X")
    if X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"{before}X has shape {X.shape}, but the others have {d} columns")
    names = [str(name) for name in getattr(x, "columns", wanted.names)]
    if names != wanted.names:
        raise ValueError(f"{before}X has the columns {', '.join(names)}, but the first has {', '.join(wanted.names)}")
    if X.dtype != dtype:
        raise TypeError(f"{before}X has dtype {X.dtype}, but the collection says {dtype}: cast it, X.astype('{dtype}')")
    arrays.check_finite(X, f"{before}X")
    Y = np.empty((len(X), 0), dtype)
    if wanted.target_shape is not None:
        Y = _floats(y, None, f"{before}Y")
        if Y.shape != (len(X), *wanted.target_shape):
            shape = f"{(len(X), *wanted.target_shape)} beside X"
            raise ValueError(must_have_shape(f"{before}Y", shape, Y.shape, f"; {_ALIKE}"))
        arrays.check_finite(Y, f"{before}Y")
        check_targets(Y, wanted.targets, None, f"{before}Y")
        Y = arrays.cast(Y, dtype, f"{before}Y").reshape(len(X), -1 if len(X) else math.prod(wanted.target_shape))
    return Piece(X, Y, None if s is None else _weights(s, X, f"{before}sample_weight"))


def _floats(block: Block, dtype: np.dtype[Any] | None, name: str) -> Array:
    """A partition as float32 or float64."""
    if hasattr(block, "to_numpy"):
        array = block.to_numpy()
        if array.dtype == object:  # pandas' own numbers, whose missing values are not floats
            array = block.to_numpy(dtype or np.float64, na_value=np.nan)
        return arrays.floating(_aligned(array), name)
    return arrays.floating(_aligned(block), name)


def _aligned(value: Any) -> Any:
    """The same; a copy of an array that has come over the network to an address that is no multiple of its item size."""
    return np.array(value) if isinstance(value, np.ndarray) and not value.flags.aligned else value


def _weights(s: Block, X: Array, name: str) -> Array:
    weights = _floats(s, None, name)
    if weights.shape != (len(X),):
        raise ValueError(must_have_shape(name, f"({len(X)},), one weight a row of X", weights.shape, f"; {_ALIKE}"))
    arrays.check_finite(weights, name)
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise ValueError(arrays.negative(name, row, weights[row]))
    largest = float(weights.max(initial=0.0))
    if largest and not _RANGE[0] <= largest <= _RANGE[1]:
        raise ValueError(f"{name} is up to {largest:.3g}: only proportions matter, divide all weights by such a number")
    return arrays.cast(weights, X.dtype, name)


def run(part: functools.partial[Any], piece: Piece, n_threads: int | None, crowd: int) -> Any:
    """One task of a pass; None of a partition without rows."""
    if not len(piece.X):
        return None
    piece = Piece(*(_aligned(array) for array in piece))
    keywords = {name: _aligned(value) for name, value in part.keywords.items()}
    # What overflows shows in the sums.
    with np.errstate(over="ignore", invalid="ignore"):
        return part.func(piece, n_threads or max(1, _worker_threads() // crowd), **keywords)


def _worker_threads() -> int:
    """Threads of the worker that runs this task, or of this machine, where no worker does."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            return int(distributed.get_worker().state.nthreads)
        except ValueError:
            pass  # a task of another scheduler
    return threads.resolve(None)


def joined(add: Callable[[T, T], T], *sums: T | None) -> T | None:
    """One task of the tree."""
    found = [value for value in sums if value is not None]
    return functools.reduce(add, found) if found else None


def moments(piece: Piece, n_threads: int, *, backend: str, target: bool) -> Moments:
    y = piece.Y if target else None
    size = piece.X.shape[1] + (piece.Y.shape[1] if target else 0)
    if piece.sample_weight is not None and not piece.sample_weight.any():
        return Moments.of_nothing(piece.X.shape[1], size, len(piece.X))
    return Moments.of(piece.X, y, piece.sample_weight, n_threads, backend)


def facts(piece: Piece, n_threads: int) -> Floats:
    """How many rows, their weight, the largest label."""
    s = piece.sample_weight
    largest = float(piece.Y.max()) if piece.Y.size else 0.0
    return np.array([len(piece.X), len(piece.X) if s is None else np.sum(s, dtype=np.float64), largest])


def facts_together(a: Floats, b: Floats) -> Floats:
    return np.array([a[0] + b[0], a[1] + b[1], max(a[2], b[2])])
