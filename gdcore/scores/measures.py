"""How good predictions are, as plain functions of targets and predictions: ROC curve and the area under it, confusion matrix,
F1, calibration, coverage. Rows count by their weights, where they have some."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.checks import integer, must_have_shape
from gdcore.losses.targets import check_targets
from gdcore.rows.arrays import floating

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike, Floats

BINS = 10
"""Of probabilities, in a calibration."""


def roc(targets: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """The ROC curve: for every threshold, the shares of both classes whose score is at or above it.

    Parameters
    ----------
    targets : array (m,)
        0 or 1.
    scores : array (m,)
        The higher, the more likely 1. Rows with equal scores pass the threshold together: between them the curve is straight.
    sample_weight : array (m,), optional

    Returns
    -------
    false_positives, true_positives : float64 arrays
        Shares of the zeros and of the ones, from 0 to 1, thresholds falling.

    Raises
    ------
    ValueError
        One of the classes has no row, or none with a weight above 0; targets are neither 0 nor 1; shapes do not fit.

    Examples
    --------
    >>> roc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    zeros, ones = _counts(targets, scores, sample_weight)
    return zeros / zeros[-1], ones / ones[-1]


def auc(targets: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The area under the ROC curve: how often a one has a higher score than a zero, equal scores counted half.

    Parameters
    ----------
    targets : array (n,)
        0 and 1.
    scores : array (n,)
        Any numbers that are higher where a one is more probable.
    sample_weight : array (n,), optional
        Rows count by it.

    Raises
    ------
    ValueError
        As `roc`.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    return area(*_counts(targets, scores, sample_weight))


def area(zeros: Array, ones: Array) -> float:
    """The area under a ROC curve whose points are given as counts, or weights, of zeros and ones, from 0 on.

    >>> area(np.array([0, 0, 1, 2]), np.array([0, 1, 2, 2]))
    0.875
    """
    twice = np.sum(np.diff(zeros) * (ones[1:] + ones[:-1]))  # of whole numbers exact
    return float(twice / (2 * (zeros[-1] * ones[-1])))


def confusion(targets: ArrayLike, classes: ArrayLike, k: int, sample_weight: ArrayLike | None = None) -> Array:
    """How many rows of each class (k rows) were taken for each class (k columns); their weights, where they have some.

    Parameters
    ----------
    targets, classes : arrays (n,) of 0 … k − 1
        What the rows are, and what they were taken for.
    k : int
    sample_weight : array (n,), optional

    Returns
    -------
    array (k, k)
        Of int64, with weights of float64.

    Examples
    --------
    >>> confusion([0, 0, 1, 2], [0, 1, 1, 2], 3)
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    k = integer(k, "k", 1)
    found, weights = _rows(sample_weight, targets=targets, classes=classes)
    for name, values in zip(("targets", "classes"), found, strict=True):
        check_targets(values, "classes", k, name, "a confusion matrix wants", "k = {k}")
    pairs = k * found[0].astype(np.int64) + found[1].astype(np.int64)
    return np.bincount(pairs, weights, minlength=k * k).reshape(k, k)


def f1(matrix: ArrayLike) -> Floats:
    """F1 of each class, from a confusion matrix: twice the rows that were rightly taken for it, of all that were taken for it
    and all that are it. It is the harmonic mean of precision and recall; NaN for a class that no row is and none is taken
    for. ``matrix`` is (k, k) as `confusion` gives it; F1 is (k,) float64.

    >>> f1([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).round(3)
    array([0.667, 0.667, 1.   ])
    """
    matrix = floating(matrix, "matrix").astype(np.float64, copy=False)
    if matrix.ndim != 2 or len(matrix) != len(matrix.T):
        raise ValueError(must_have_shape("matrix", "(k, k), a row and a column for each class", matrix.shape))
    there = matrix.sum(axis=0) + matrix.sum(axis=1)
    found: Floats = np.divide(2 * np.diag(matrix), there, out=np.full(len(matrix), np.nan), where=there > 0)
    return found


class Calibration(NamedTuple):
    """Probabilities that were predicted beside what was observed, in tenths of the probability.

    Attributes
    ----------
    predicted, observed : float64 arrays (10,)
        Of the rows whose probability is in 0 … 0.1, 0.1 … 0.2, …: the mean of the probability, and the share of rows for
        which it came true; NaN where there is no row.
    weight : float64 array (10,)
        How many rows these are, or what they weigh.
    """

    predicted: Floats
    observed: Floats
    weight: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of both, of the tenths by the weight of their rows."""
        some = self.weight > 0
        if not some.any():
            return float("nan")
        apart = np.abs(self.predicted - self.observed)[some]
        return float(np.average(apart, weights=self.weight[some]))


def calibration(true: ArrayLike, probabilities: ArrayLike, sample_weight: ArrayLike | None = None) -> Calibration:
    """How far probabilities are what they say.

    Parameters
    ----------
    true : array (m,)
        Whether it came true: 0 or 1.
    probabilities : array (m,)
        That it would. Of several classes: that of the predicted class, and whether it was right.
    sample_weight : array (m,), optional

    Examples
    --------
    >>> found = calibration([0, 1, 1, 1], [0.21, 0.25, 0.9, 0.94])
    >>> found.predicted[[2, 8, 9]].round(3), found.observed[[2, 8, 9]], round(found.error, 3)
    (array([0.23, 0.9 , 0.94]), array([0.5, 1. , 1. ]), 0.175)
    """
    (true, p), weights = _rows(sample_weight, true=true, probabilities=probabilities)
    check_targets(true, "binary", None, "true", "a calibration wants")
    return calibrated(calibration_sums(true, p, weights))


def calibration_sums(true: Array, p: Array, weights: Array | None = None) -> Floats:
    """(3, 10): of each tenth the sums of the weights, of the probabilities, and of what came true. They add up."""
    s = np.ones(len(p)) if weights is None else weights
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], p)
    return np.array([np.bincount(bins, part, minlength=BINS) for part in (s, s * p, s * true)])


def calibrated(sums: Floats) -> Calibration:
    """From `calibration_sums`."""
    weight, predicted, observed = sums
    with np.errstate(invalid="ignore"):
        return Calibration(predicted / weight, observed / weight, weight)


class Coverage(NamedTuple):
    """The share of rows whose target is at or below the prediction, of all rows and along the predictions.

    Attributes
    ----------
    share : float
        Of all rows: of a fit of the quantile τ that ought to be τ.
    predicted : float64 array (b,)
        Rows of one size of prediction, up to ten groups of as many rows: the mean prediction of each.
    observed : float64 array (b,)
        Their shares: of a fit that is right everywhere these are τ, too.
    """

    share: float
    predicted: Floats
    observed: Floats


def coverage(targets: ArrayLike, predictions: ArrayLike, sample_weight: ArrayLike | None = None) -> Coverage:
    """Which share of the targets lies at or below the predictions: of τ-quantiles it should be τ.

    Parameters
    ----------
    targets, predictions : arrays (n,)
    sample_weight : array (n,), optional
        Rows count by it; without any that does, the share is NaN.

    Returns
    -------
    Coverage
        The share of all rows, and of each tenth of them, by their predictions.

    Examples
    --------
    >>> coverage([1.0, 2.0, 3.0, 4.0], [2.0, 2.5, 2.75, 3.0])
    Coverage(share=0.5, predicted=array([2.  , 2.5 , 2.75, 3.  ]), observed=array([1., 1., 0., 0.]))
    """
    (y, p), weights = _rows(sample_weight, targets=targets, predictions=predictions)
    s = np.ones(len(p)) if weights is None else weights
    y, p, s = y[s > 0], p[s > 0], s[s > 0]
    if not len(p):
        return Coverage(float("nan"), np.empty(0), np.empty(0))
    groups = np.array_split(np.argsort(p, kind="stable"), min(BINS, len(p)))
    below = (y <= p).astype(np.float64)
    return Coverage(
        float(np.average(below, weights=s)),
        np.array([np.average(p[group], weights=s[group]) for group in groups]),
        np.array([np.average(below[group], weights=s[group]) for group in groups]),
    )


def _rows(sample_weight: ArrayLike | None, **columns: ArrayLike) -> tuple[list[Floats], Floats | None]:
    """The columns, and the weights where there are some, in float64: a value a row each, of as many rows as the first."""
    given = columns if sample_weight is None else columns | {"sample_weight": sample_weight}
    found: list[Floats] = []
    for name, values in given.items():
        array = floating(values, name).astype(np.float64, copy=False)
        if array.ndim != 1 or (found and len(array) != len(found[0])):
            wanted = f"({len(found[0])},)" if found else "(n,)"
            raise ValueError(must_have_shape(name, f"{wanted}, one value a row", array.shape))
        found.append(array)
    return found[: len(columns)], None if sample_weight is None else found[-1]


def _counts(targets: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Array, Array]:
    """Zeros and ones at or above each threshold, as numbers of rows or as weights."""
    (y, s), weights = _rows(sample_weight, targets=targets, scores=scores)
    check_targets(y, "binary", None, "targets", "a ROC curve wants")
    y = y == 1
    if weights is None:
        weights = np.ones(len(y), np.int64)  # whole numbers: exact
    else:
        y, s, weights = y[weights > 0], s[weights > 0], weights[weights > 0]
    if y.all() or not y.any():
        where = "" if sample_weight is None else " of positive weight"
        raise ValueError(f"a ROC curve needs rows of both classes, and all {len(y):,}{where} are of class {int(y.any())}")
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)  # of each run of equal scores
    zeros, ones = (np.cumsum(np.where(which, weights, 0)[order])[last] for which in (~y, y))
    return np.append(0, zeros), np.append(0, ones)
