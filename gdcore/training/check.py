"""Whether a hand-derived gradient is the gradient: central differences, for anybody to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses
from gdcore.backends import BACKENDS
from gdcore.descent.start import check_model
from gdcore.rows import arrays

if TYPE_CHECKING:
    from gdcore._types import Array
    from gdcore.models.linear import Linear
    from gdcore.models.mlp import MLP


def check_gradient(
    model: Linear | MLP,
    X: Any,
    Y: Any,
    loss: Any = "mse",
    *,
    sample_weight: Any = None,
    l2: float = 0.0,
    step: float = 1e-6,
    backend: str = "kernel",
    delta: float | None = None,
    tau: float | None = None,
    power: float | None = None,
) -> float:
    """The largest difference between the derived gradient and central differences, as a share of the gradient's largest.

    Every parameter p in turn: (f(p − 2h) − 8f(p − h) + 8f(p + h) − f(p + 2h)) / 12h, in float64, h = ``step``·max(1, |p|).

    Parameters
    ----------
    model : Linear or MLP
    X : array (n, d)
    Y : array
        As `fit` takes them.
    loss : str or Loss
        As for `fit`, like ``delta``, ``tau`` and ``power``. Where it has a kink (mae, quantile, huber; relu) the two
        differ if a row comes within ``step`` of it.
    sample_weight : array (n,), optional
    l2 : float
    step : float
    backend : {"kernel", "reference"}

    Returns
    -------
    float
        About 1e-9 for a correct formula.

    Raises
    ------
    ValueError, TypeError
        X, Y and the model do not go together, as `fit` says it.

    Examples
    --------
    >>> import gdcore
    >>> gdcore.check_gradient(gdcore.Linear([0.5, -1.0], 0.2), [[1.0, 2.0], [3.0, 5.0]], [0.0, 1.0], "logistic") < 1e-7
    True
    """
    chosen = losses.get(loss, delta=delta, tau=tau, power=power)
    X = arrays.table(X).astype(np.float64)
    Y = arrays.targets(Y, X)
    check_model(model, X, Y, chosen)
    Y = Y.reshape(len(X), -1)
    s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, X)
    engine = model.engine(BACKENDS[backend if chosen.compiled else "reference"], X.dtype)
    weights, bias = model.parameters(X.dtype)

    def objective() -> tuple[float, Array, Array | None]:
        result: tuple[float, Array, Array | None] = engine.loss_gradient(
            X, Y, weights, bias, s, 1, **chosen.arguments, l1=0.0, l2=l2
        )
        return result

    _, gradient, bias_gradient = objective()
    worst = 0.0
    for values, derived in ((weights, gradient), (bias, bias_gradient)):
        if values is None or derived is None:
            continue
        for place in np.ndindex(values.shape):
            start, h = float(values[place]), step * max(1.0, abs(float(values[place])))
            total = 0.0
            for times, factor in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                values[place] = start + times * h
                total += factor * objective()[0]
            values[place] = start
            worst = max(worst, abs(total / (12 * h) - float(derived[place])))
    scale = max(float(np.max(np.abs(g))) for g in (gradient, bias_gradient) if g is not None)
    return worst / max(scale, 1e-12)
