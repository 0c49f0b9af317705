"""Absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.losses.kinked import Kinked

if TYPE_CHECKING:
    from gdcore._types import Array


class Mae(Kinked, compiled=True):
    """Absolute error, for real y: ℓ = Σ |r|.

    Derivation: |r| is r for r > 0 and −r for r < 0, so ∂ℓ/∂ŷ = sign(r); at 0, where it has a kink, we take 0, which lies
    between the slopes of both sides. There is no curvature bound: the slope jumps.

    >>> Mae().at(5.0, y=1.0), Mae().at(-1.0, y=1.0), Mae().at(1.0, y=1.0)
    ((4.0, 1.0), (2.0, -1.0), (0.0, 0.0))
    """

    name = "mae"
    formula = "Σ |r|"
    derivative = "sign(r), 0 at 0"
    jump = 2.0

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        # forward   ℓ = Σ |r|
        r = raw - Y
        # backward  ∂ℓ/∂ŷ = sign(r), 0 at 0
        return np.abs(r), np.sign(r)

    def smooth_slope(self, raw: Array, Y: Array, width: float) -> Array:
        return np.clip((raw - Y) / width, -1, 1)

    def sides(self) -> tuple[float, float]:
        return -1.0, 1.0
