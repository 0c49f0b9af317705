"""Moments that chunks of rows add up to, and steps in the columns' spreads, which they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.estimators.inputs import finite
from gdcore.models.linear import Linear
from gdcore.rows.arrays import no_weight
from gdcore.rows.moments import Moments, check

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

_FLOAT = np.dtype(np.float64)


class Scaling(NamedTuple):
    """Columns (x − centre)/spread, and what weights of these are as weights of x."""

    centre: Floats
    spread: Floats
    """Both () where columns stay as they are."""

    @classmethod
    def none(cls) -> Scaling:
        """Columns as they are."""
        return cls(np.zeros(()), np.ones(()))

    @classmethod
    def of(cls, columns: Moments, bias: bool) -> Scaling:
        """To mean 0 and spread 1; without a bias, which would have to follow, to mean square 1. Constant columns stay."""
        centre = columns.mean if bias else np.zeros_like(columns.mean)
        spread = np.sqrt(columns.scatter / columns.total + (columns.mean - centre) ** 2)
        return cls(centre, np.where(spread > 1e-12 * np.abs(centre), spread, 1.0))

    def columns(self, X: Array) -> Array:
        if np.ndim(self.spread) == 0:
            return X  # as they are
        scaled: Array = ((X - self.centre) / self.spread).astype(X.dtype)
        return scaled

    def into(self, model: Linear) -> Linear:
        """The model that predicts from the scaled columns what that one predicts from x."""
        w = model.weights.astype(np.float64)
        bias = None if model.bias is None else model.bias + (np.ones(len(w)) * self.centre) @ w
        return Linear((w.T * self.spread).T, bias)

    def undone(self, model: Linear) -> Linear:
        """The reverse of `into`, in the model's dtype."""
        w, dtype = (model.weights.astype(np.float64).T / self.spread).T, model.weights.dtype
        bias = None if model.bias is None else (model.bias - (np.ones(len(w)) * self.centre) @ w).astype(dtype)
        return Linear(w.astype(dtype), bias)


def each_column(X: Array, s: Array | None, before: Moments | None) -> Moments:
    """Means and spreads of these rows and those before."""
    if s is not None and not s.any():
        raise ValueError(no_weight())
    found = Moments.of_each_column(X, s)
    return found if before is None else before + found


def measured(X: Array, Y: Array, s: Array | None, n_threads: int, backend: str) -> Moments:
    """The moments of [X, Y], which add up."""
    moments = Moments.of(X, Y.reshape(len(Y), -1).astype(X.dtype, copy=False), s, n_threads, backend)
    if moments.total == 0:
        raise ValueError(no_weight())
    with finite(X):
        check(moments, X)
    return moments


def moments_of(arrays: dict[str, Array], name: str) -> Moments:
    """Moments from the arrays of a file, which are taken out."""
    mean, scatter, numbers = (arrays.pop(f"{name}.{part}") for part in ("mean", "scatter", "numbers"))
    size = mean.size
    shapes = {"moments": (size, size), "columns": (size,)}
    if (
        mean.shape != (size,)
        or scatter.shape != shapes[name]
        or numbers.shape != (4,)
        or {mean.dtype, scatter.dtype} != {_FLOAT}
    ):
        raise ValueError(f"its {name} do not fit together")
    total, columns, largest_row, rows = numbers.tolist()
    return Moments(total, mean, scatter, int(columns), largest_row, int(rows))
