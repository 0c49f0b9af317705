"""What is wrong with a step function: it is tried, and what it went along is held beside the gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore.facts.spectrum import spectrum
from gdcore.lessons.faults import Diagnosis, found

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats

_SAME = 1e-5
"""Relative: a difference of weights has lost digits."""
_ROWS = 7


def tried(step: Callable[..., tuple[Array, float | None]], rows: tuple[Floats, Floats] | None, lr: float | None) -> Diagnosis:
    """Of one update, and the same update once more."""
    random = np.random.default_rng(0)
    if rows is None:
        X = random.normal(1.0, 1.0, (_ROWS, 2))
        rows = X, X @ [1.0, -2.0] + 3.0 + random.normal(0.0, 0.1, _ROWS)
    X, Y = rows
    n, d = X.shape
    s = spectrum(X)
    spread = np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)  # gradients are compared in the columns' own units
    w = random.standard_normal((d,)) * Y.std() / spread
    b = float(Y.std() * random.standard_normal())
    rate = 0.1 * s.lr_limit
    given, bias = step(w.copy(), b, X.copy(), Y.copy(), rate)
    new = np.asarray(given, np.float64)
    if new.shape != w.shape:
        return found("broadcasting", f"weights {w.shape} come back as {new.shape}")
    along, slope = _along(w, b, new, bias, rate, spread)
    r = X @ w + b - Y
    U = X / spread
    gradient = np.append(2 * U.T @ r / n, 2 * r.mean())
    across = np.append(2 * U.T @ (X @ w + b - Y.mean()) / n, 2 * r.mean())
    again, bias_again = step(w.copy(), b, X.copy(), Y.copy(), rate)
    second, second_slope = _along(w, b, np.asarray(again), bias_again, rate, spread)
    both = np.append(along, slope)
    if _close(np.append(second, second_slope), 2 * both):
        return found("gradients not reset", "the same step, taken twice from the same place, is twice as long the second time")
    if slope == 0 and _close(along, 2 * U.T @ (X @ w - Y) / n):
        return found("no bias", f"the bias stays at {b:.4g}, where its gradient is {gradient[-1]:.4g}")
    if _close(both, -gradient):
        return found("plus for minus", f"a step adds lr times the gradient, {gradient[0]:.4g} for the first weight")
    if n > 2 and _close(both, n * gradient):
        return found("loss summed", f"a step goes along {n} times the gradient of the mean, and there are {n} rows")
    if _close(both, across):
        return found(
            "broadcasting", "a step goes along the gradient of all pairs of a prediction and a target: (n, n) differences"
        )
    length = float(both @ gradient / (gradient @ gradient))
    if not _close(both, length * gradient) or length <= 0:
        if math.isclose(slope, gradient[-1], rel_tol=_SAME):
            return found(
                "targets shuffled", "the bias goes along its gradient and the weights do not: rows and targets do not match"
            )
        return Diagnosis(
            None, "a step goes along something else than the gradient of the mean squared error: that cannot be told", ""
        )
    if lr is not None and lr > s.lr_limit:
        return found(
            "lr past the limit", f"lr = {lr:.4g} is past 2/λmax = {s.lr_limit:.4g}; worst columns: {s.column_names()}"
        )
    if lr is not None and lr < 1e-4 * s.lr_limit:
        return found("lr far too small", f"lr = {lr:.3g} is {lr / s.lr_limit:.1g} of the limit 2/λmax = {s.lr_limit:.3g}")
    return Diagnosis(None, f"a step goes along {length:.4g} times the gradient of the mean squared error", "")


def _along(w: Floats, b: float, new: Array, bias: float | None, rate: float, spread: Floats) -> tuple[Floats, float]:
    """What the step went along: of a healthy one the gradient, here by weights of columns of spread 1."""
    return (w - new) / rate / spread, 0.0 if bias is None else (b - float(bias)) / rate


def _close(one: Floats, other: Floats) -> bool:
    return bool(np.linalg.norm(one - other) <= _SAME * np.linalg.norm(other))
