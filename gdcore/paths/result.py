"""The models of a path, how good each is on rows that did not train it, and which of them to take."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.checks import integer, must_be
from gdcore.models.linear import Linear
from gdcore.plain import number
from gdcore.rows.arrays import cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gdcore._types import JSON, Array, Floats
    from gdcore.losses import Loss

CHOICES = ("best", "one_standard_error")


@dataclass(frozen=True, repr=False, eq=False)
class Path:
    """What `path` gives.

    Attributes
    ----------
    loss : Loss
    l1_ratio : float
        How much of a penalty is l1; the rest is l2.
    standardize : bool
        Whether columns are penalised in units of their spreads.
    penalties : float64 array (m,)
        λ, decreasing, in units of the loss per unit of a weight, of a column of spread 1 where they are standardized.
    weights : float64 array (m, d), of softmax (m, d, k)
        In the data's units, of all rows.
    bias : float64 array (m,), of softmax (m, k)
    train_loss : float64 array (m,)
        The loss of all rows, without penalties.
    gap : float64 array (m,)
        By how much an objective may lie above the best one, at most: proved. Of squared error on the second moments.
    fold_loss : float64 array (K, m)
        The loss of each fold's rows, by the models of the other folds' rows.
    fold_weight : float64 array (K,)
        How many rows a fold has, or the sum of their weights.
    spread : float64 array (d,)
        The columns' standard deviations.
    rows : int
    folds : str
        Which folds these are, in words.
    """

    loss: Loss
    l1_ratio: float
    standardize: bool
    penalties: Floats
    weights: Floats
    bias: Floats
    train_loss: Floats
    gap: Floats
    fold_loss: Floats
    fold_weight: Floats
    spread: Floats
    rows: int
    folds: str
    dtype: Any = field(default=np.dtype(np.float64))
    """That of the rows, and so of `model`."""
    columns: list[str] | None = None
    """What the columns of a table are called."""
    card: dict[str, JSON] | None = None
    """What a model has to know of the table."""

    @functools.cached_property
    def cv_loss(self) -> Floats:
        """(m,) the mean of the folds' losses, by their weights."""
        found: Floats = np.average(self.fold_loss, axis=0, weights=self.fold_weight)
        return found

    @functools.cached_property
    def cv_error(self) -> Floats:
        """(m,) the standard error of that mean, from how much the K folds differ: √(mean squared deviation/(K − 1))."""
        squares = (self.fold_loss - self.cv_loss) ** 2
        count = int(np.count_nonzero(self.fold_weight))
        found: Floats = np.sqrt(np.average(squares, axis=0, weights=self.fold_weight) / (count - 1))
        return found

    @property
    def best(self) -> int:
        """Where `cv_loss` is smallest."""
        return int(np.argmin(self.cv_loss))

    @property
    def one_standard_error(self) -> int:
        """The largest penalty whose `cv_loss` is within one `cv_error` of the smallest (Breiman and others 1984)."""
        within = self.cv_loss <= self.cv_loss[self.best] + self.cv_error[self.best]
        return int(np.argmax(within))

    @property
    def nonzero(self) -> Array:
        """(m,) how many columns have a weight that is not 0."""
        used = self.weights != 0
        found: Array = np.count_nonzero(used.any(axis=2) if used.ndim == 3 else used, axis=1)
        return found

    def l1(self, index: int) -> float:
        """λ·l1_ratio; as `gdcore.fit` takes it where columns are not standardized."""
        return float(self.penalties[index]) * self.l1_ratio

    def l2(self, index: int) -> float:
        """λ·(1 − l1_ratio), likewise."""
        return float(self.penalties[index]) * (1 - self.l1_ratio)

    def place(self, index: int | str) -> int:
        """An index, from 0, for one, or for the name of a choice."""
        if isinstance(index, str):
            if index not in CHOICES:
                raise ValueError(must_be("index", "an index, 'best' or 'one_standard_error'", repr(index)))
            return self.best if index == "best" else self.one_standard_error
        return integer(index, "index", 0, len(self.penalties) - 1)

    def model(self, index: int | str = "best") -> Linear:
        """The model at an index, at "best" or at "one_standard_error", trained on all rows: one like any other."""
        i = self.place(index)
        model = Linear(cast(self.weights[i], self.dtype, "weights"), cast(np.asarray(self.bias[i]), self.dtype, "bias"))
        model.loss = self.loss
        if self.card is not None and self.columns is not None:
            model.columns, model.card = list(self.columns), dict(self.card)
        return model

    def plot(self, axes: tuple[Axes, Axes] | None = None) -> Any:
        """Weights against the penalty, and beside them the CV curve with its errors; both choices are marked.

        Parameters
        ----------
        axes : two matplotlib Axes, optional
            Where to draw; default: a new figure.

        Returns
        -------
        array of two matplotlib Axes
        """
        from gdcore.paths import picture

        return picture.draw(self, axes)

    def __repr__(self) -> str:
        what = {0.0: "ridge", 1.0: "lasso"}.get(self.l1_ratio, f"elastic net, l1_ratio {number(self.l1_ratio)}")
        first, last, count = self.penalties[0], self.penalties[-1], len(self.penalties)
        units = "in units of their spread" if self.standardize else "as they lie"
        lines = [
            f"{self.loss.spelling}, {what}: {count} penalties from {number(first, 4)} to {number(last, 4)}, "
            f"on columns {units}",
            f"{self.rows:,} rows, {self.folds}",
            f"{'':18}  {'penalty':>12}  {'CV loss':>12}  {'± error':>12}  columns used",
        ]
        for name, i in (("best", self.best), ("one standard error", self.one_standard_error)):
            cells = [number(float(values[i]), 5) for values in (self.penalties, self.cv_loss, self.cv_error)]
            used = f"{int(self.nonzero[i]):,} of {self.weights.shape[1]:,}"
            lines.append(f"{name:18}  " + "  ".join(f"{cell:>12}" for cell in cells) + f"  {used:>12}")
        if self.best == count - 1:
            lines.append("the best is the smallest penalty of the path, and a smaller one may be better: give penalties")
        return "\n".join(lines)
