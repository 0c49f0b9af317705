"""Log loss, for two classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.losses.base import Loss
from gdcore.losses.duals import Dual, Mix
from gdcore.losses.probabilities import both, divergence, entropy, sigmoid

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

_EPS = float(np.finfo(np.float64).eps)
LEAST = 1e-9
"""Of a probability: what a step leaves of one that it takes to 0 is rounding."""


class Logistic(Loss, compiled=True):
    """Log loss, for 0 ≤ y ≤ 1: ℓ = Σ log(1 + e^ŷ) − yŷ, which for y in {0, 1} is −log of the probability σ(ŷ) = 1/(1 + e^−ŷ)
    given to y. A y between them is a share: 3 of 10 trials are 0.3, with 10 as the row's weight, and the loss is their mean.

    Derivation: d log(1 + e^ŷ)/dŷ = e^ŷ/(1 + e^ŷ) = σ(ŷ), so ∂ℓ/∂ŷ = σ(ŷ) − y. The curvature is σ(1 − σ) ≤ ¼. Computed
    from e^−|ŷ|, which cannot overflow. The conjugate: with v = u + y, u·ŷ − ℓ is v·ŷ − log(1 + e^ŷ), largest where σ(ŷ) = v:
    v·log v + (1 − v)·log(1 − v) for 0 ≤ v ≤ 1.

    >>> value, slope = Logistic().at(0.0, y=1.0)
    >>> round(value, 6), slope
    (0.693147, -0.5)
    >>> Logistic().at(-1000.0, y=1.0), Logistic().at(0.0, y=0.5)[1]
    ((1000.0, -1.0), 0.0)
    """

    name = "logistic"
    targets = "binary"
    shares = True
    formula = "Σ log(1 + e^ŷ) − yŷ"
    derivative = "σ(ŷ) − y"
    curvature = 0.25
    nonnegative = True
    dispersed = False
    undecided = float(np.log(2))
    mixes = True

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        # forward   ℓ = Σ log(1 + e^ŷ) − yŷ = log(1 + e^−|ŷ|) + max(ŷ, 0) − yŷ
        e = np.exp(-np.abs(raw))
        value = np.log1p(e) + np.where(raw > 0, (1 - Y) * raw, -Y * raw)
        # backward  ∂ℓ/∂ŷ = σ(ŷ) − y, σ(ŷ) = 1/(1 + e^−ŷ) = e^ŷ/(1 + e^ŷ)
        return value, np.where(raw > 0, (1 - Y) - Y * e, (1 - Y) * e - Y) / (1 + e)

    def least(self, Y: Array) -> Array:
        least: Array = -(entropy(Y) + entropy(1 - Y))
        return least

    def log_base(self, Y: Array) -> Array:
        return np.zeros_like(Y)

    def second(self, raw: Array, Y: Array) -> Array:
        e = np.exp(-np.abs(raw))
        second: Array = e / (1 + e) ** 2
        return second

    def steepness(self, value: float) -> tuple[float, float]:
        return min(1.0, abs(value)), 0.0

    def probabilities(self, raw: Array) -> Array:
        return sigmoid(raw)

    def domain(self, Y: Array) -> tuple[Array, Array]:
        return -Y, 1 - Y

    def conjugate(self, u: Array, Y: Array) -> Array:
        return entropy(u + Y) + entropy(1 - Y - u)

    def dual(self, raw: Floats, step: Floats, Y: Floats, damping: float = 0.0, smoothing: float = 0.0) -> Dual:
        low, high, _ = both(raw)
        ahead = (low * high + damping / 4) * step
        ones, zeros = low + ahead, high - ahead  # p and 1 − p
        ones[np.abs(ones) < LEAST * low] = 0.0
        zeros[np.abs(zeros) < LEAST * high] = 0.0
        alpha = np.where(Y == 0, ones, np.where(Y == 1, -zeros, ones - Y))
        possible = min(ones.min(initial=0.0), zeros.min(initial=0.0)) >= 0
        return Dual(alpha, 1.0 if possible else 0.0, (ones, zeros))

    def scaled(self, dual: Dual, Y: Floats, factor: float) -> Dual:
        if factor == 1:
            return dual
        alpha = factor * dual.alpha
        return dual._replace(alpha=alpha, shares=(Y + alpha, 1 - Y - alpha))

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ is the divergence of p = α + y from σ(ŷ)
        (mine, rest), (p, q, smaller) = dual.shares, both(raw)
        terms = divergence(mine, p, np.minimum(raw, 0) - smaller) + divergence(rest, q, np.minimum(-raw, 0) - smaller)
        result: Floats = terms.sum(axis=1)
        return result

    def push(self, step: Floats, Y: Floats) -> tuple[float, float]:
        between = (Y > 0) & (Y < 1)
        towards = np.where(between, -np.abs(step), np.where(Y > 0.5, step, -step))  # a share is left whatever moves its row
        return float(towards.max(initial=0.0)), float(-towards.min(initial=0.0))

    def mixture(self, mean: Floats, shares: Floats) -> Mix:
        # Probabilities p with mean m shall have the mean t of the labels: mixed with q = (t − (1 − share)·m)/share, which is
        # not negative where share is at least 1 − t/m.
        present = mean + shares
        share = np.maximum(1 - shares / np.maximum(present, 1e-300), 1 - (1 - shares) / np.maximum(1 - present, 1e-300))
        most = min(1.0, float(np.clip(np.max(share), 0, 1)) * (1 + 1e-12))
        if most < 4 * _EPS:
            return Mix()  # what is left of the mean is rounding
        return Mix(most, np.clip((shares - (1 - most) * present) / most, 0, 1))

    def mixed(self, raw: Floats, Y: Array, mix: Mix) -> Dual:
        p, q, _ = both(raw + mix.shift)
        mine, rest = p + mix.share * (mix.other - p), q + mix.share * (1 - mix.other - q)
        return Dual(mine - Y, 1.0, (mine, rest))
