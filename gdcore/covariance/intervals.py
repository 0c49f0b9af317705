"""Between which values a prediction's mean or a new target lies, from the covariance of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Floats


class Interval(NamedTuple):
    """Predictions of rows, and between which values what they stand for lies.

    Attributes
    ----------
    prediction, low, high : float64 array (n,)
        In units of the target.
    """

    prediction: Floats
    low: Floats
    high: Floats


class Centred(NamedTuple):
    """The covariance of a linear predictor's parts, where they do not cancel.

    Of b + x·w, with columns far from 0, b and w have large errors that take each other away. Those of b' = b + μ·w, the linear
    predictor of the mean row, and of w do not.

    Attributes
    ----------
    mean : float64 array (d,)
        μ; zeros of a model without a bias.
    bias : bool
        Whether there is a b'.
    covariance : float64 array (p, p)
        Of [b', w], or of w alone.
    """

    mean: Floats
    bias: bool
    covariance: Floats

    def variances(self, X: Floats) -> Floats:
        """x̃ᵀ·C·x̃ (n,) with x̃ = [1, x − μ]: of the linear predictors of rows."""
        away = X - self.mean
        if self.bias:
            away = np.column_stack([np.ones(len(X)), away])
        found: Floats = np.maximum(np.einsum("ij,jk,ik->i", away, self.covariance, away, optimize=True), 0.0)
        return found
