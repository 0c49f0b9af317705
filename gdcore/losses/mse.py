"""Squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.losses.base import Loss

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses.duals import Dual


class Mse(Loss, compiled=True):
    """Squared error, for real y: ℓ = Σ r².

    Derivation: dr/dŷ = 1, so ∂ℓ/∂ŷ = 2r. The curvature is 2 everywhere. The conjugate: u·ŷ − (ŷ − y)² is largest where
    u = 2r, at ŷ = y + u/2, and is u²/4 + u·y there.

    >>> Mse().at(5.0, y=1.0)
    (16.0, 8.0)
    """

    name = "mse"
    formula = "Σ r²"
    derivative = "2r"
    curvature = 2.0
    nonnegative = True
    of_residual = True
    degree = 2

    @property
    def squared(self) -> bool:
        return self.compiled  # a subclass may have another formula

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        # forward   ℓ = Σ r², r = ŷ − y
        r = raw - Y
        # backward  ∂ℓ/∂ŷ = 2r
        return r * r, 2 * r

    def second(self, raw: Array, Y: Array) -> Array:
        return np.full(raw.shape, 2.0)

    def conjugate(self, u: Array, Y: Array) -> Array:
        result: Array = u * u / 4 + u * Y
        return result

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ = (r − α/2)²
        result: Floats = ((raw - Y - dual.alpha / 2) ** 2).sum(axis=1)
        return result
