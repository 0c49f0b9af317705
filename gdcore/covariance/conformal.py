"""`conformal`: intervals of new targets that hold for any model and any distribution, from rows that did not train.

With n calibration rows and the size of each one's error (its score), let q be the ⌈(n + 1)·(1 − α)⌉-th smallest score. A new
row that is exchangeable with them has each rank among the n + 1 scores alike, and so a score of at most q with a probability
of at least 1 − α, and of at most 1 − α + 1/(n + 1) where no two scores are equal (Vovk, Gammerman and Shafer 2005; Lei and
others 2018). That is on average over rows and calibrations: not for each x by itself.

Scores: of numbers |y − ŷ|; of amounts, whose variance grows with the mean, |y − μ|/√V(μ), Pearson's residual; of classes 1
minus the probability of the row's own class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.checks import must_be, number
from gdcore.covariance.intervals import Interval
from gdcore.models.linear import Linear, mean, probabilities
from gdcore.models.mlp import MLP
from gdcore.rows.tables import Table
from gdcore.run import Run
from gdcore.scores.scoring import check_table, checked, predicted

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike, Floats
    from gdcore.losses import Loss


@dataclass(frozen=True)
class Conformal:
    """What `conformal` gives.

    Attributes
    ----------
    model : Linear or MLP
    alpha : float
        Of new targets at most this share lies outside, on average.
    rows : int
        n, which calibrated.
    score : float
        q: of numbers half the interval's width, in units of the target; of amounts that in standard deviations of the mean's
        own; of classes 1 minus the least probability of a class that is in the set.
    """

    model: Linear | MLP
    alpha: float
    rows: int
    score: float

    def predict(self, X: ArrayLike | Table) -> Interval:
        """Predictions (n,), and between which values the targets lie; of amounts never below 0.

        Raises
        ------
        ValueError
            The model is of classes, whose sets `classes` gives.
        """
        loss = _loss(self.model)
        if not loss.numeric:
            raise ValueError(f"intervals are for numbers, and {loss.name} is of classes: call classes(X)")
        eta = np.ravel(self.model.linear_predictor(X)).astype(np.float64)
        centre, width = mean(eta, loss), self.score * _deviations(loss, eta)
        return Interval(centre, np.maximum(centre - width, 0.0) if loss.has_link else centre - width, centre + width)

    def classes(self, X: ArrayLike | Table) -> Array:
        """Which classes the target may be: boolean (n, k), of logistic (n, 2). A row may have none: it is like none seen.

        Raises
        ------
        ValueError
            The model is of numbers, whose intervals `predict` gives.
        """
        loss = _loss(self.model)
        if loss.numeric:
            raise ValueError(f"sets of classes are for classifiers, and {loss.name} is of numbers: call predict(X)")
        found: Array = 1 - _of_classes(self.model.linear_predictor(X), loss) <= self.score
        return found


def conformal(run: Run | Linear | MLP, X_cal: Any, Y_cal: Any = None, alpha: float = 0.1) -> Conformal:
    """Intervals of new targets, or sets of classes, that hold them with probability 1 − alpha, whatever the model is worth.

    Parameters
    ----------
    run : Run, Linear or MLP
        A trained model of one output, or of classes.
    X_cal : array (n, d), or Table
        Rows that did not train, as new ones will be: drawn with them, or in the same order of nothing. A table brings Y.
    Y_cal : array (n,)
        Their targets.
    alpha : float
        Above 0 and below 1: the share of new targets that may lie outside.

    Returns
    -------
    Conformal
        Whose ``predict(X)`` gives intervals, and whose ``classes(X)`` of classifiers sets. The promise and its conditions
        stand at the head of `gdcore.covariance.conformal`.

    Raises
    ------
    ValueError
        There are fewer than 1/alpha − 1 rows, with which no finite interval keeps the promise; the rows have weights, which
        exchangeable ones have not; an argument is out of its range.
    TypeError
        It is no trained model.

    Examples
    --------
    >>> import numpy as np
    >>> import gdcore
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3000, 2))
    >>> Y = X @ [1.0, -2.0] + rng.standard_t(3, size=3000)
    >>> found = gdcore.conformal(gdcore.fit(X[:1000], Y[:1000]), X[1000:2000], Y[1000:2000])
    >>> prediction, low, high = found.predict(X[2000:])
    >>> float(np.mean((low <= Y[2000:]) & (Y[2000:] <= high)).round(2))
    0.9
    """
    model = run.model if isinstance(run, Run) else run
    loss = _loss(model)
    share = number(alpha, "alpha", above=0, below=1)
    if loss.targets != "classes" and math.prod(model.outputs) != 1:
        raise ValueError(f"conformal is for one output, found {math.prod(model.outputs)}: calibrate each by itself")
    if isinstance(X_cal, Table):
        check_table(model, loss, X_cal, Y_cal, None)
        pieces = X_cal.pieces(1)
    else:
        pieces = iter([checked(model, loss, X_cal, Y_cal, None, "it tells how far off predictions are")])
    found: list[Floats] = []
    for X, Y, s in pieces:
        if s is not None:
            raise ValueError(must_be("X_cal", "rows without weights: rows that calibrate count alike", "a table with weights"))
        found.append(_scores(predicted(model, X), Y, loss))
    scores = np.sort(np.concatenate(found))
    n = len(scores)
    # alpha is what its decimals say: as a binary number 0.1 is a little more, and of 9 rows no rank would do.
    rank = math.ceil((n + 1) * (1 - Fraction(repr(share))))
    if rank > n:
        least = math.ceil(1 / Fraction(repr(share))) - 1
        raise ValueError(f"{n} rows are too few to calibrate with alpha {share}: at least {least} are needed")
    return Conformal(model, share, n, float(scores[rank - 1]))


def _loss(model: Any) -> Loss:
    if not isinstance(model, (Linear, MLP)):
        raise TypeError(must_be("run", "a Run, a Linear or an MLP", type(model).__name__))
    if model.loss is None:
        raise TypeError("the model is not trained, and so knows no loss: give what gdcore.fit gives")
    return model.loss


def _scores(raw: Array, Y: Array, loss: Loss) -> Floats:
    """Of each row how far off its prediction is."""
    raw = np.asarray(raw, np.float64)
    if not loss.numeric:
        found: Floats = 1 - _of_classes(raw, loss)[np.arange(len(Y)), Y[:, 0].astype(np.intp)]
        return found
    eta = raw.reshape(len(raw))
    away: Floats = np.abs(Y[:, 0] - mean(eta, loss)) / _deviations(loss, eta)
    return away


def _deviations(loss: Loss, eta: Floats) -> Floats:
    """In which units errors of such predictions are told: of amounts √V(μ), for ∂²ℓ/∂η² at y = μ is μ²/V(μ)."""
    if not loss.has_link:
        return np.ones_like(eta)
    mu = mean(eta, loss)
    return mu / np.sqrt(loss.second(eta, mu))


def _of_classes(raw: Array, loss: Loss) -> Floats:
    """The probability of each class (n, k)."""
    p = probabilities(np.asarray(raw, np.float64), loss)
    p = p.reshape(len(p), -1)
    return np.column_stack([1 - p[:, 0], p[:, 0]]) if p.shape[1] == 1 else p
