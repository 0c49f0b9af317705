"""How good a model is: its loss, and the share of the target's variance that it explains (R²) or of the rows it gets right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses
from gdcore.backends import BACKENDS
from gdcore.models.linear import Linear

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.models.mlp import MLP
    from gdcore.rows.moments import Moments
    from gdcore.rows.tables import Piece
    from gdcore.run import Run


class Scores(NamedTuple):
    """Of some rows."""

    loss: float = float("nan")
    """Without penalties."""
    quality: float | None = None
    """R², None where all targets are the same; or accuracy."""
    rows: int = 0

    def named(self, loss: Loss) -> dict[str, float | None]:
        """As a table has it."""
        return {"loss": self.loss, "R²" if loss.targets == "real" else "accuracy": self.quality}


def of_loss(loss: float, spread: Moments) -> Scores:
    """Of squared error that is known, and the target's moments."""
    variance = float(spread.scatter[0, 0]) / spread.total
    return Scores(loss, 1 - loss / variance if variance > 0 else None, spread.rows)


def of_moments(moments: Moments, model: Linear) -> Scores:
    """Of squared error, from the second moments of rows [x, y]: no pass over them.

    ⟨r²⟩ = ⟨r⟩² + vᵀCv, with r = y − xw − b, v = [−w, 1] and the covariance C of [x, y].
    """
    d = moments.columns
    v = np.append(-model.weights.ravel(), 1.0)
    bias = 0.0 if model.bias is None else float(np.ravel(model.bias)[0])
    mean = float(moments.mean @ v) - bias
    loss = mean**2 + max(0.0, float(v @ moments.scatter @ v) / moments.total)
    return of_loss(loss, moments._replace(mean=moments.mean[d:], scatter=moments.scatter[d:, d:], columns=1))


def of_rows(pieces: Iterable[Piece], model: Linear | MLP, loss: Loss) -> Scores:
    """Of rows with one target that come in pieces: one pass."""
    total = lost = first = second = squares = right = 0.0
    rows = 0
    shift: float | None = None
    for X, Y, s in pieces:
        rows += len(X)
        weight = np.ones(len(X)) if s is None else s
        if not weight.any():
            continue
        engine = model.engine(BACKENDS["kernel"], X.dtype)
        weights, bias = model.parameters(X.dtype)
        options: dict[str, Any] = {"loss": loss.name, "parameter": loss.parameter}
        mine = float(weight.sum())
        lost += mine * float(engine.loss(X, Y, weights, bias, s, 1, **options))
        total += mine
        raw = model.predict(X).reshape(len(X), -1)
        if loss.targets == "real":
            shift = float(Y[0, 0]) if shift is None else shift  # so that large targets keep their digits
            first += float(weight @ (Y[:, 0] - shift))
            second += float(weight @ (Y[:, 0] - shift) ** 2)
            squares += float(weight @ (Y[:, 0] - raw[:, 0]) ** 2)
        else:
            found = raw[:, 0] > 0 if loss.targets == "binary" else raw.argmax(axis=1)
            right += float(weight @ (found == Y[:, 0]))
    if not total:
        return Scores(rows=rows)
    variance = second - first**2 / total
    real = (1 - squares / variance if variance > 0 else None) if loss.targets == "real" else right / total
    return Scores(lost / total, real, rows)


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
        self.power = {"mse": 2, "huber": 2, "mae": 1, "quantile": 1}.get(loss.name, 0)
        self.level, self.size = 0.0, 1.0
        if self.power:
            level, size = _level(y[:, None], sample_weight)
            self.level, self.size = float(level[0]), float(size[0])
        if loss.name == "huber":
            self.loss = losses.huber(loss.parameter / self.size)

    def columns(self, X: Array) -> Floats:
        """The columns, scaled."""
        scaled: Floats = (X - self.mean) / self.spread
        return scaled

    def targets(self, y: Array) -> Floats:
        """The targets, scaled."""
        scaled: Floats = (y - self.level) / self.size
        return scaled

    def undo(self, run: Run) -> None:
        """Makes the run's network and its losses those of the columns and targets as they are: σ((x − m)/s · W + b) is
        σ(x · W/s + b − m/s · W)."""
        first, last = run.model.layers[0], run.model.layers[-1]
        weights = first.weights / self.spread[:, None]
        first.bias = first.bias - self.mean @ weights
        first.weights = weights
        last.weights, last.bias = last.weights * self.size, last.bias * self.size + self.level
        run.model.loss = self.given
        run.history.loss = run.history.loss * self.size**self.power
        run.history.validation_loss = run.history.validation_loss * self.size**self.power
        run.loss *= self.size**self.power


def _level(X: Array, sample_weight: Array | None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column; a column of one value has its value and 1."""
    mean: Floats = np.average(X, axis=0, weights=sample_weight)
    spread: Floats = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=sample_weight))
    first = X[0]
    one = (first == X).all(axis=0)  # a mean of equal values may be rounded, and the spread is then not 0
    return np.where(one, first, mean), np.where(one | (spread == 0), 1.0, spread)
