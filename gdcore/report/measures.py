"""How good a classifier's predictions are: ROC curve, the area under it, confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


def roc(targets: Any, scores: Any) -> tuple[Floats, Floats]:
    """The ROC curve: for every threshold, the shares of both classes whose score is at or above it.

    Parameters
    ----------
    targets : array (m,)
        0 or 1.
    scores : array (m,)
        The higher, the more likely 1. Rows with equal scores pass the threshold together: between them the curve is straight.

    Returns
    -------
    false_positives, true_positives : float64 arrays
        Shares of the zeros and of the ones, from 0 to 1, thresholds falling.

    Raises
    ------
    ValueError
        One of the classes has no row.

    Examples
    --------
    >>> roc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    zeros, ones = _counts(targets, scores)
    return zeros / zeros[-1], ones / ones[-1]


def auc(targets: Any, scores: Any) -> float:
    """The area under the ROC curve: how often a one has a higher score than a zero, equal scores counted half.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    zeros, ones = _counts(targets, scores)
    twice = int(np.sum(np.diff(zeros) * (ones[1:] + ones[:-1])))  # whole numbers: exact
    return twice / (2 * int(zeros[-1]) * int(ones[-1]))


def confusion(targets: Any, classes: Any, k: int) -> Array:
    """How many rows of each class (k rows) were taken for each class (k columns).

    >>> confusion([0, 0, 1, 2], [0, 1, 1, 2], 3)
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    pairs = k * np.asarray(targets, np.int64) + np.asarray(classes, np.int64)
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def _counts(targets: Any, scores: Any) -> tuple[Array, Array]:
    y, s = np.asarray(targets) == 1, np.asarray(scores)
    if y.all() or not y.any():
        raise ValueError(f"a ROC curve needs rows of both classes, and all {len(y):,} are of class {int(y.any())}")
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)  # of each run of equal scores
    ones = np.cumsum(y[order], dtype=np.int64)[last]
    return np.append(0, last + 1 - ones), np.append(0, ones)
