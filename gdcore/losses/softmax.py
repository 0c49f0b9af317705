"""Cross-entropy, for several classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.losses.base import Loss
from gdcore.losses.duals import Dual, Mix
from gdcore.losses.logistic import LEAST
from gdcore.losses.probabilities import divergence, entropy
from gdcore.losses.probabilities import shares as shares_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats

_EPS = float(np.finfo(np.float64).eps)


class Softmax(Loss, compiled=True):
    """Cross-entropy, for classes y = 0 … k − 1 and k outputs: ℓ = logsumexp(ŷ) − ŷ_y.

    Derivation: ∂logsumexp(ŷ)/∂ŷ_c = e^ŷ_c / Σ e^ŷ = softmax(ŷ)_c, and ∂ŷ_y/∂ŷ_c is 1 for c = y and 0 else, so
    ∂ℓ/∂ŷ = softmax(ŷ) − onehot(y). The curvature is at most ½. Computed from ŷ − max ŷ, which cannot overflow.

    With p = softmax(ŷ) the second derivative is diag(p) − ppᵀ. The conjugate is Σ v·log v, v = u + onehot(y), for v ≥ 0 that
    sum to 1.

    >>> value, slope = Softmax().at([0.0, 0.0], y=1)
    >>> round(value, 6), slope
    (0.693147, array([ 0.5, -0.5]))
    """

    name = "softmax"
    targets = "classes"
    formula = "logsumexp(ŷ) − ŷ_y"
    derivative = "softmax(ŷ) − onehot(y)"
    curvature = 0.5
    nonnegative = True
    dispersed = False
    undecided = float(np.log(2))
    mixes = True

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        # forward   ℓ = logsumexp(ŷ) − ŷ_y = log Σ e^(ŷ − max ŷ) + (max ŷ − ŷ_y)
        top = raw.max(axis=1, keepdims=True)
        e = np.exp(raw - top)
        whole = e.sum(axis=1, keepdims=True)
        # What is none of the classes is no index: the loss is NaN, and the slopes are those of class 0.
        own = _places(raw, Y)
        value = np.log(whole) + (top - raw[own][:, None])
        value[~_known(raw, Y)] = np.nan
        # backward  ∂ℓ/∂ŷ = softmax(ŷ) − onehot(y)
        slope = e / whole
        slope[own] -= 1
        return value, slope

    def log_base(self, Y: Array) -> Array:
        return np.zeros_like(Y)

    def second(self, raw: Array, Y: Array) -> Array:
        diagonal = self.hessian(raw, Y)
        return np.column_stack([diagonal(c, c) for c in range(raw.shape[1])])

    def pairs(self, outputs: int) -> list[tuple[int, int]]:
        return [(a, b) for a in range(outputs) for b in range(a, outputs)]

    def hessian(self, raw: Array, Y: Array, smoothing: float = 0.0) -> Callable[[int, int], Array]:
        e = np.exp(raw - raw.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return lambda a, b: p[:, a] * ((e.sum(axis=1) - e[:, a]) / e.sum(axis=1) if a == b else p[:, b])

    def summed_second(self, raw: Floats, Y: Array, s: Floats) -> Floats:
        p = shares_of(raw)
        return np.diag(s @ p) - p.T @ (s[:, None] * p)

    def steepness(self, value: float) -> tuple[float, float]:
        return min(1.0, abs(value)), 0.0

    def probabilities(self, raw: Array) -> Array:
        return shares_of(raw)

    def conjugate(self, u: Array, Y: Array) -> Array:
        v = u + (np.arange(u.shape[1]) == Y)
        one = np.abs(v.sum(axis=1, keepdims=True) - 1) <= 4 * _EPS * u.shape[1]
        return np.where(one, entropy(v).sum(axis=1, keepdims=True), np.inf)

    def dual(self, raw: Floats, step: Floats, Y: Floats, damping: float = 0.0, smoothing: float = 0.0) -> Dual:
        p = shares_of(raw)
        known = _known(p, Y)  # labels may have been changed meanwhile: then nothing is proved
        p, own = np.where(known, p, np.nan), _places(p, Y)
        change = step - (p * step).sum(axis=1, keepdims=True)
        expected = np.where(np.abs(1 + change) < LEAST, 0.0, p * (1 + change))
        alpha = expected.copy()
        alpha[own] = -np.where(np.arange(p.shape[1]) == own[1][:, None], 0.0, expected).sum(axis=1)
        return Dual(alpha, 1.0 if damping == 0 and expected.min(initial=0.0) >= 0 else 0.0, (expected,))

    def scaled(self, dual: Dual, Y: Floats, factor: float) -> Dual:
        if factor == 1:
            return dual
        alpha = factor * dual.alpha
        mine = alpha.copy()
        mine[_places(alpha, Y)] += 1
        return dual._replace(alpha=alpha, shares=(mine,))

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ is the divergence of p = α + onehot(y) from softmax(ŷ)
        (mine,), top = dual.shares, raw.max(axis=1, keepdims=True)
        e = np.exp(raw - top)
        whole = e.sum(axis=1, keepdims=True)
        result: Floats = divergence(mine, e / whole, raw - (top + np.log(whole))).sum(axis=1)
        return result

    def push(self, step: Floats, Y: Floats) -> tuple[float, float]:
        towards = step[_places(step, Y)][:, None] - step
        return float(towards.max(initial=0.0)), float(-towards.min(initial=0.0))

    def mixture(self, mean: Floats, shares: Floats) -> Mix:
        # As of logistic: probabilities whose mean is that of the labels.
        present = mean + shares
        share = float(np.clip(np.max(1 - shares / np.maximum(present, 1e-300)), 0, 1))
        if share < 4 * _EPS:
            return Mix()  # what is left of the mean is rounding
        share = min(1.0, share * (1 + 1e-12))
        other = np.maximum(shares - (1 - share) * present, 0) / share
        return Mix(share, other / other.sum())

    def mixed(self, raw: Floats, Y: Array, mix: Mix) -> Dual:
        p = shares_of(raw + mix.shift)
        mine = p + mix.share * (mix.other - p)
        alpha = mine.copy()
        alpha[_places(alpha, Y)] -= 1
        return Dual(alpha, 1.0, (mine,))


def _known(raw: Array, Y: Array) -> Array:
    """Which targets are classes (n, 1)."""
    known: Array = (Y >= 0) & (raw.shape[1] > Y) & (np.floor(Y) == Y)
    return known


def _places(raw: Array, Y: Array) -> tuple[Array, Array]:
    """Where each row's own class stands."""
    return np.arange(len(Y)), np.where(_known(raw, Y), Y, 0)[:, 0].astype(np.intp)
