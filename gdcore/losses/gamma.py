"""The gamma distribution's log-likelihood, for amounts above 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gdcore.losses.loglink import LogLink
from gdcore.losses.probabilities import divergence, entropy

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses.duals import Dual


class Gamma(LogLink, compiled=True):
    """The gamma distribution's log-likelihood with a log link, for y > 0, whose spread grows as its mean: ℓ = Σ ye^−ŷ + ŷ.

    Derivation: of a mean μ and a shape ν, the density's logarithm is −ν·(y/μ + log μ) but for what does not depend on μ; ν is
    the same for all rows, and with ŷ = log μ what is left is ye^−ŷ + ŷ. So ∂ℓ/∂ŷ = 1 − ye^−ŷ, and the curvature ye^−ŷ, which
    has no bound; the third derivative is its negative. The conjugate: u·ŷ − ℓ is −v·ŷ − ye^−ŷ with v = 1 − u, largest where
    ye^−ŷ = v: v·log(v/y) − v for v ≥ 0.

    >>> Gamma().at(0.0, y=3.0)
    (3.0, -2.0)
    """

    name = "gamma"
    targets: ClassVar[str] = "positive"
    formula = "Σ ye^−ŷ + ŷ"
    derivative = "1 − ye^−ŷ"
    third = 1.0

    @property
    def variance_power(self) -> float:
        return 2.0

    def offset_costs(self, offset: Array, Y: Array) -> Array:
        return np.broadcast_to(offset, Y.shape)

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        # forward   ℓ = Σ ye^−ŷ + ŷ
        ratio = Y * np.exp(-raw)
        # backward  ∂ℓ/∂ŷ = 1 − ye^−ŷ
        return ratio + raw, 1 - ratio

    def second(self, raw: Array, Y: Array) -> Array:
        return Y * np.exp(-raw)

    def least(self, Y: Array) -> Array:
        return 1 + np.log(Y)

    def domain(self, Y: Array) -> tuple[float | Array, float | Array]:
        return -np.inf, 1.0

    def conjugate(self, u: Array, Y: Array) -> Array:
        result: Array = entropy(1 - u) - (1 - u) * (1 + np.log(Y))
        return result

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ = v·log(v/q) − v + q, q = ye^−ŷ
        log_q = np.log(Y) - raw
        result: Floats = divergence(np.maximum(1 - dual.alpha, 0.0), np.exp(log_q), log_q).sum(axis=1)
        return result
