"""The pinball loss, whose best predictions are quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import number
from gdcore.losses.kinked import Kinked

if TYPE_CHECKING:
    from gdcore._types import Array


class Quantile(Kinked, compiled=True):
    """Pinball loss, for real y: ℓ = Σ max(−τr, (1 − τ)r). Its minimum is the τ-quantile; τ = ½ is half of `mae`.

    Derivation: for r > 0 (predicted too high) the second is larger, with slope 1 − τ; for r < 0 the first, with slope −τ;
    at 0 we take 0. At the minimum the slopes cancel: a share τ of the rows lies below the prediction.

    >>> Quantile(tau=0.75).at(3.0, y=1.0), Quantile(tau=0.75).at(-1.0, y=1.0)
    ((0.5, 0.25), (1.5, -0.75))

    Raises
    ------
    ValueError, TypeError
        τ is not between 0 and 1.
    """

    name = "quantile"
    formula = "Σ max(−τr, (1 − τ)r)"
    derivative = "1 − τ where r > 0, −τ where r < 0, 0 at 0"
    jump = 1.0

    tau: float

    def __init__(self, tau: float = 0.5) -> None:
        super().__init__(tau=number(tau, "tau", above=0, below=1))

    @property
    def level(self) -> float:
        return self.tau

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        tau = self.tau
        # forward   ℓ = Σ max(−τr, (1 − τ)r)
        r = raw - Y
        # backward  ∂ℓ/∂ŷ = 1 − τ where r > 0, −τ where r < 0, 0 at 0
        return np.maximum(-tau * r, (1 - tau) * r), np.where(r > 0, 1 - tau, np.where(r < 0, -tau, 0))

    def smooth_slope(self, raw: Array, Y: Array, width: float) -> Array:
        return np.clip((raw - Y) / (2 * width), -0.5, 0.5) + (0.5 - self.tau)

    def sides(self) -> tuple[float, float]:
        return -self.tau, 1 - self.tau
