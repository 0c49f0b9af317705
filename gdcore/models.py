"""What is trained: a linear model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import rows, threads
from gdcore.backends import BACKENDS

if TYPE_CHECKING:
    from gdcore._types import Array


class Linear:
    """Ŷ = XW + b.

    Parameters
    ----------
    weights : array (d,) or (d, k)
        One weight a column, for one output or for k.
    bias : float, array (k,) or None
        Added to every row; None: the model has no bias, and training gives it none.

    The arrays are copied. Integers and booleans become float64.

    Examples
    --------
    >>> Linear([2.0], bias=1.0).predict([[0.0], [10.0]])
    array([ 1., 21.])
    >>> Linear([[2.0]], bias=None).predict([[0.0], [10.0]])
    array([[ 0.],
           [20.]])
    """

    weights: Array
    bias: Any

    def __init__(self, weights: Any, bias: Any = None) -> None:
        self.weights = np.array(rows.floating(weights, "weights"))
        if self.weights.ndim not in (1, 2) or self.weights.size == 0:
            raise ValueError(f"weights must have shape (d,) or (d, k), found {self.weights.shape}")
        rows.check_finite(self.weights, "weights")
        outputs = self.weights.shape[1:]
        if bias is None:
            self.bias = None
        else:
            bias = rows.floating(bias, "bias").astype(self.weights.dtype)
            if bias.shape != outputs and not (bias.ndim == 0 and outputs == (1,)):
                wanted = f"({outputs[0]},)" if outputs else "() (a number)"
                raise ValueError(f"bias must have shape {wanted} beside weights {self.weights.shape}, found {bias.shape}")
            rows.check_finite(bias, "bias")
            self.bias = np.broadcast_to(bias, outputs).copy() if outputs else bias[()]

    @classmethod
    def zeros(cls, X: Array, Y: Array) -> Linear:
        """The model that training starts from by default: zeros of X's dtype, with a bias, in the shape of the data."""
        outputs = Y.shape[1:]
        return cls(np.zeros((X.shape[1], *outputs), X.dtype), np.zeros(outputs, X.dtype))

    def predict(self, X: Any, n_threads: int | None = None) -> Array:
        """Ŷ = XW + b: shape (n,) for weights (d,), (n, k) for weights (d, k)."""
        X = rows.table(X)
        self._check_columns(X)
        weights, bias = self.parameters(X.dtype)
        out = np.empty((len(X), weights.shape[1]), X.dtype)
        BACKENDS["kernel"].predict(X, weights, bias, out, threads.resolve(n_threads))
        if not np.isfinite(out).all():
            rows.check_finite(X, "X")
        return out.reshape(len(X), *self.weights.shape[1:])

    def parameters(self, dtype: Any) -> tuple[Array, Array | None]:
        """Copies of the weights as (d, k) and the bias as (k,), in ``dtype``: what the backends work on."""
        weights = self.weights.astype(dtype).reshape(len(self.weights), -1)
        bias = None if self.bias is None else np.array(self.bias, dtype).reshape(-1)
        rows.check_finite(weights, f"weights as {np.dtype(dtype)}")
        return weights, bias

    def with_parameters(self, weights: Array, bias: Array | None) -> Linear:
        """A model of this one's shape with other, finite parameters, given as (d, k) and (k,) and copied."""
        model = Linear.__new__(Linear)
        model.weights = weights.reshape(self.weights.shape).copy()
        model.bias = None if bias is None else bias.copy() if self.weights.ndim == 2 else bias[0]
        return model

    def _check_columns(self, X: Array) -> None:
        if X.shape[1] != len(self.weights):
            raise ValueError(f"X has {X.shape[1]} columns, but the model has weights for {len(self.weights)}")

    def __repr__(self) -> str:
        return f"Linear(weights={self.weights!r}, bias={self.bias!r})"
