"""Columns and targets of one size, which networks train best on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.run import Run


class Scaling:
    """Columns and targets of mean 0 and spread 1, which networks train best on; `undo` folds it into the network.

    Parameters
    ----------
    X : array (n, d)
    y : array (n,)
    loss : Loss
    sample_weight : array (n,), optional
        Rows of weight 0 have no part in means and spreads.

    Attributes
    ----------
    loss : Loss
        For the scaled targets: huber's δ shrinks with them. Classes are not scaled.
    """

    def __init__(self, X: Array, y: Array, loss: Loss, sample_weight: Array | None = None) -> None:
        if sample_weight is not None and sample_weight.any():
            used = sample_weight > 0
            X, y, sample_weight = X[used], y[used], sample_weight[used]
        else:
            sample_weight = None
        self.mean, self.spread = _level(X, sample_weight)
        self.given = self.loss = loss
        self.degree = loss.degree
        self.level, self.size = 0.0, 1.0
        if self.degree:
            level, size = _level(y[:, None], sample_weight)
            self.level, self.size = float(level[0]), float(size[0])
            self.loss = loss.rescaled(self.size)

    def columns(self, X: Array) -> Floats:
        """The columns, scaled."""
        return (X - self.mean) / self.spread

    def targets(self, y: Array) -> Floats:
        """The targets, scaled."""
        return (y - self.level) / self.size

    def undo(self, run: Run) -> None:
        """Makes the run's network and its losses those of the columns and targets as they are: σ((x − m)/s · W + b) is
        σ(x · W/s + b − m/s · W)."""
        first, last = run.model.layers[0], run.model.layers[-1]
        weights = first.weights / self.spread[:, None]
        first.bias = first.bias - self.mean @ weights
        first.weights = weights
        last.weights, last.bias = last.weights * self.size, last.bias * self.size + self.level
        run.model.loss = self.given
        run.history.start *= self.size**self.degree
        run.history.loss = run.history.loss * self.size**self.degree
        run.history.validation_loss = run.history.validation_loss * self.size**self.degree
        run.loss *= self.size**self.degree


def _level(X: Array, sample_weight: Array | None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; a column of one value has its value and 1."""
    mean: Floats = np.average(X, axis=0, weights=sample_weight)
    spread: Floats = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=sample_weight))
    first = X[0]
    one = (first == X).all(axis=0)  # a mean of equal values may be rounded, and the spread is then not 0
    return np.where(one, first, mean), np.where(one | (spread == 0), 1.0, spread)
