"""Huber's loss: squared error near, absolute error far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import number
from gdcore.losses.base import Loss
from gdcore.losses.duals import Dual, Mix, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats


class Huber(Loss, compiled=True):
    """Squared error near, absolute error far, for real y: ℓ = Σ ½r² where |r| ≤ δ, else δ(|r| − ½δ).

    Derivation: inside, d(½r²)/dr = r; outside, δ·sign(r). Both are clip(r, −δ, δ), which is continuous: that is why ½δ² is
    taken off outside. The curvature is 1 inside and 0 outside. The conjugate: u·ŷ − ℓ has no bound for |u| > δ, and is largest
    at r = u else, where it is ½u² + u·y.

    Far from its targets δ is too narrow for most rows: smoothed within h > δ it is δ/h of the loss with h in the place of δ.

    >>> Huber(delta=2.0).at(1.5, y=1.0), Huber(delta=2.0).at(-4.0, y=1.0)
    ((0.125, 0.5), (8.0, -2.0))

    Raises
    ------
    ValueError, TypeError
        δ is not a positive number.
    """

    name = "huber"
    formula = "Σ ½r², or δ(|r| − ½δ) past δ"
    derivative = "clip(r, −δ, δ)"
    curvature = 1.0
    nonnegative = True
    of_residual = True
    flat = True
    degree = 2
    mixes = True

    delta: float

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=number(delta, "delta", above=0))

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        delta = self.delta
        # forward   ℓ = Σ ½r² where |r| ≤ δ, else δ(|r| − ½δ)
        r = raw - Y
        size = np.abs(r)
        inside = size <= delta
        value = np.where(inside, np.where(inside, r, 0) ** 2 / 2, delta * (size - delta / 2))
        # backward  ∂ℓ/∂ŷ = clip(r, −δ, δ)
        return value, np.clip(r, -delta, delta)

    def second(self, raw: Array, Y: Array) -> Array:
        return self._second(raw, Y, self.delta)

    def _second(self, raw: Array, Y: Array, width: float) -> Array:
        second: Array = (self.delta / width) * (np.abs(raw - Y) <= width)
        return second

    def hessian(self, raw: Array, Y: Array, smoothing: float = 0.0) -> Callable[[int, int], Array]:
        second = self._second(raw, Y, max(self.delta, smoothing))
        return lambda a, b: second[:, a]

    def bound(self, smoothing: float = 0.0) -> float:
        return self.delta / smoothing if smoothing > self.delta else 1.0

    def steepness(self, value: float) -> tuple[float, float]:
        return min(2 * float(np.sqrt(max(value, 0.0))), self.delta), 2.0

    def rescaled(self, size: float) -> Loss:
        return Huber(self.delta / size)

    def smoothed(self, width: float) -> tuple[Loss, float, float]:
        wide = max(self.delta, width)
        return Huber(wide), self.delta / wide, 0.0

    def smoothing_adds(self, sizes: Floats, width: float) -> Floats:
        k, wide = np.minimum(sizes, self.delta), max(width, self.delta)
        near = np.minimum(sizes, wide)
        return (self.delta / wide) * near * (sizes - near / 2) - k * (sizes - k / 2)

    def sides(self) -> tuple[float, float]:
        return -self.delta, self.delta

    def conjugate(self, u: Array, Y: Array) -> Array:
        return np.where(np.abs(u) <= self.delta, u * u / 2 + u * Y, np.inf)

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ = ½(α − r)² where |r| ≤ δ, else with k = clip(r) (k − α)(r − ½(k + α))
        r, a = raw - Y, dual.alpha
        k = np.clip(r, -self.delta, self.delta)
        terms = np.where(np.abs(r) <= self.delta, (a - r) ** 2 / 2, (k - a) * (r - (k + a) / 2))
        result: Floats = terms.sum(axis=1)
        return result

    def mixture(self, mean: Floats, shares: Floats) -> Mix:
        # the constant against the mean, within [−δ, δ]
        share = float(np.max(np.abs(mean) / (np.abs(mean) + self.delta)))
        return Mix(share, -mean * (1 - share) / share)

    def mixed(self, raw: Floats, Y: Array, mix: Mix) -> Dual:
        slope = np.clip(raw - Y + mix.shift, -self.delta, self.delta)
        alpha = (1 - mix.share) * slope + mix.share * mix.other
        return Dual(alpha, within(alpha, *self.sides()))
