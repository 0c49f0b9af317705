"""What is trained: a linear model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import threads
from gdcore.backends import BACKENDS
from gdcore.checks import must_have_shape
from gdcore.rows import arrays
from gdcore.rows.coded import Coded, dense
from gdcore.rows.tables import Table

if TYPE_CHECKING:
    from gdcore._types import JSON, Array, ArrayLike, DTypeLike
    from gdcore.backends.backend import Backend
    from gdcore.losses import Loss


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
    bias: Array | np.floating[Any] | None
    columns: list[str]
    """What the columns of the table are called that it was trained on; there where it was one."""
    card: dict[str, JSON]
    """What such a table was made of."""

    interpolated: Array | None = None
    """Of mae and quantile that ended at a vertex: the numbers of the rows that the model passes through, ascending, as many as
    there are independent columns, bias included: (rank,), or (k, rank) of k outputs."""

    def __init__(self, weights: ArrayLike, bias: ArrayLike | None = None) -> None:
        self.loss: Loss | None = None
        self.weights = np.array(arrays.floating(weights, "weights"))
        if self.weights.ndim not in (1, 2) or self.weights.size == 0:
            raise ValueError(must_have_shape("weights", "(d,) or (d, k)", self.weights.shape))
        arrays.check_finite(self.weights, "weights")
        if bias is None:
            self.bias = None
        else:
            outputs = self.outputs
            bias = arrays.floating(bias, "bias")
            if bias.shape != outputs and not (bias.ndim == 0 and outputs == (1,)):
                wanted = f"({outputs[0]},)" if outputs else "() (a number)"
                raise ValueError(must_have_shape("bias", f"{wanted} beside weights {self.weights.shape}", bias.shape))
            arrays.check_finite(bias, "bias")
            bias = arrays.cast(bias, self.weights.dtype, "bias", "the dtype of weights")
            self.bias = np.broadcast_to(bias, outputs).copy() if outputs else bias[()]

    @classmethod
    def zeros(cls, X: Array, outputs: tuple[int, ...]) -> Linear:
        """The model that training starts from by default: zeros of X's dtype, with a bias; outputs () or (k,)."""
        return cls(np.zeros((X.shape[1], *outputs), X.dtype), np.zeros(outputs, X.dtype))

    def predict(self, X: ArrayLike | Table | Coded, n_threads: int | None = None, *, offset: ArrayLike | None = None) -> Array:
        """Ŷ = XW + b: shape (n,) for weights (d,), (n, k) for weights (d, k).

        X is an array, a table that comes in pieces, or coded rows of one; ``offset`` (n,), or (n, k) beside such predictions,
        is added to each row's Ŷ.

        After training with poisson, gamma or tweedie, whose Ŷ is the logarithm of the mean, this is the mean, e^Ŷ;
        `linear_predictor` gives Ŷ itself.

        Raises
        ------
        ValueError
            X has another number of columns, a value that is not finite, or so large a one that Ŷ overflows.
        """
        return mean(self.linear_predictor(X, n_threads, offset=offset), self.loss)

    def linear_predictor(
        self, X: ArrayLike | Table | Coded, n_threads: int | None = None, *, offset: ArrayLike | None = None
    ) -> Array:
        """XW + b + offset, as `predict` gives it for losses without a link."""
        if offset is not None:
            raw = self.linear_predictor(X, n_threads)
            added: Array = (raw + arrays.offsets(offset, raw)).astype(raw.dtype)
            return added
        if isinstance(X, Table):
            return np.concatenate([self.linear_predictor(piece.X, n_threads) for piece in X.pieces(1)])
        X = X if isinstance(X, Coded) else arrays.table(X)
        self.check_columns(X)
        weights, bias = self.parameters(X.dtype)
        if isinstance(X, Coded):
            out = X.times(weights, bias)
        else:
            out = np.empty((len(X), weights.shape[1]), X.dtype)
            BACKENDS["kernel"].predict(X, weights, bias, out, threads.resolve(n_threads))
        if not np.isfinite(out).all():
            arrays.check_finite(dense(X), "X")
            row = int(np.argmin(np.isfinite(out).all(axis=1)))
            raise ValueError(f"the prediction for row {row} of X overflows {X.dtype}")
        return out.reshape(len(X), *self.outputs)

    def predict_proba(self, X: ArrayLike | Table) -> Array:
        """Probabilities, after training with a classifier's loss.

        Returns
        -------
        array
            logistic: the probability of 1, of the shape of `predict`. softmax: (n, k), rows that sum to 1.

        Raises
        ------
        ValueError
            The model was trained with another loss.
        """
        return probabilities(self.linear_predictor(X), self.loss)

    # What training needs of a model ----------------------------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[int, ...]:
        """Shape of one row's prediction: () or (k,)."""
        return self.weights.shape[1:]

    @property
    def state_size(self) -> int:
        """How many numbers a row of an optimizer's state has: one for each weight and each output's bias."""
        return self.weights.size + math.prod(self.outputs)

    def parameters(self, dtype: DTypeLike) -> tuple[Array, Array | None]:
        """Copies of the weights as (d, k) and the bias as (k,), in ``dtype``: what the backends work on."""
        weights = np.array(arrays.cast(self.weights, np.dtype(dtype), "weights")).reshape(len(self.weights), -1)
        if self.bias is None:
            return weights, None
        return weights, np.array(arrays.cast(np.asarray(self.bias), np.dtype(dtype), "bias")).reshape(-1)

    def with_parameters(self, weights: Array, bias: Array | None) -> Linear:
        """A model of this one's shape with other, finite parameters, given as (d, k) and (k,) and copied."""
        model = Linear.__new__(Linear)
        model.loss = self.loss
        model.weights = weights.reshape(self.weights.shape).copy()
        model.bias = None if bias is None else bias.copy() if self.weights.ndim == 2 else bias[0]
        return model

    def by_layer(self, weights: Array, bias: Array | None) -> tuple[Array, Array | None]:
        """Parameters, or their gradients, as `parameters` gives them, in the form that an `Epoch` has: as they are."""
        return weights, bias

    def engine(self, backend: Backend, dtype: DTypeLike) -> Backend:
        """What runs its epochs."""
        return backend

    def check_columns(self, X: Array | Coded, name: str = "X") -> None:
        if X.shape[1] != len(self.weights):
            raise ValueError(f"{name} has {X.shape[1]} columns, but the model has weights for {len(self.weights)}")

    def __repr__(self) -> str:
        return f"Linear(weights={self.weights!r}, bias={self.bias!r})"


def mean(raw: Array, loss: Loss | None) -> Array:
    """What linear predictors mean to the loss of a model."""
    if loss is None or not loss.has_link:
        return raw
    found = loss.mean(raw)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found.reshape(len(found), -1)).all(axis=1)))
        raise ValueError(f"the prediction for row {row} of X overflows {found.dtype}")
    return found


def probabilities(raw: Array, loss: Loss | None) -> Array:
    """What predictions mean as probabilities to the loss of a model."""
    if loss is None:
        raise ValueError("probabilities need a model trained with 'logistic' or 'softmax'; this one is not trained")
    return loss.probabilities(raw)
