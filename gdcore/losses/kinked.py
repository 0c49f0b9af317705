"""Losses of the residual that are two straight lines: what absolute error and the pinball loss have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.losses.base import Loss
from gdcore.losses.duals import Dual, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats


class Kinked(Loss):
    """ℓ = Σ max(low·r, high·r) with low < 0 < high, which `sides` tells; the slope jumps by `jump` at r = 0.

    Smoothed within h the slope goes from low to high in a straight line over |r| ≤ h, and ℓ lies (h − |r|)²·jump/4h higher
    there. The conjugate: u·ŷ − ℓ is u·y + u·r − max(low·r, high·r), which has no bound for u outside of [low, high], and is
    largest at r = 0 else: ℓ*(u) = u·y.
    """

    kinked = True
    flat = True
    nonnegative = True
    of_residual = True
    degree = 1

    def second(self, raw: Array, Y: Array) -> Array:
        return np.zeros(raw.shape)

    def hessian(self, raw: Array, Y: Array, smoothing: float = 0.0) -> Callable[[int, int], Array]:
        if smoothing == 0:
            return super().hessian(raw, Y)
        second = self.bound(smoothing) * (np.abs(raw - Y) <= smoothing)
        return lambda a, b: second[:, a]

    def bound(self, smoothing: float = 0.0) -> float:
        return self.jump / (2 * smoothing)

    def steepness(self, value: float) -> tuple[float, float]:
        return 1.0, 0.0

    def smoothing_adds(self, sizes: Floats, width: float) -> Floats:
        return np.maximum(width - sizes, 0) ** 2 * (self.bound(width) / 2)

    def conjugate(self, u: Array, Y: Array) -> Array:
        low, high = self.sides()
        return np.where((low <= u) & (u <= high), u * Y, np.inf)

    def dual(self, raw: Floats, step: Floats, Y: Floats, damping: float = 0.0, smoothing: float = 0.0) -> Dual:
        low, high = self.sides()
        r, h = raw - Y, smoothing
        steep = (high - low) / (2 * h) if h > 0 else 0.0
        alpha = np.clip(steep * r + (high + low) / 2, low, high) + steep * ((np.abs(r) <= h) + damping) * step
        return Dual(alpha, within(alpha, low, high))

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ = (high − α)·r for r > 0, (low − α)·r for r < 0
        low, high = self.sides()
        r = raw - Y
        side = np.where(r > 0, high, np.where(r < 0, low, 0.0))
        result: Floats = ((side - dual.alpha) * r).sum(axis=1)
        return result
