"""Poisson's log-likelihood, for counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore.losses.loglink import LogLink
from gdcore.losses.probabilities import divergence, entropy

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses.duals import Dual


class Poisson(LogLink, compiled=True):
    """Poisson's log-likelihood with a log link, for y ≥ 0, as counts and rates are: ℓ = Σ e^ŷ − yŷ; the mean is e^ŷ.

    Derivation: the probability of a count y with mean μ is μ^y·e^−μ/y!; its logarithm is y·log μ − μ but for y!, which no
    weight changes, and with ŷ = log μ that is yŷ − e^ŷ. So ∂ℓ/∂ŷ = e^ŷ − y, and the curvature e^ŷ, which has no bound, as has
    the third derivative, the same. The conjugate: with v = u + y, u·ŷ − ℓ is v·ŷ − e^ŷ, largest where e^ŷ = v: v·log v − v for
    v ≥ 0. For counts of unequal exposure: rates y/exposure, with the exposures as sample weights.

    >>> Poisson().at(0.0, y=3.0)
    (1.0, -2.0)
    """

    name = "poisson"
    formula = "Σ e^ŷ − yŷ"
    derivative = "e^ŷ − y"
    third = 1.0
    dispersed = False

    @property
    def variance_power(self) -> float:
        return 1.0

    def offset_costs(self, offset: Array, Y: Array) -> Array:
        return -Y * offset

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        # forward   ℓ = Σ e^ŷ − yŷ
        mean = np.exp(raw)
        # backward  ∂ℓ/∂ŷ = e^ŷ − y
        return mean - Y * raw, mean - Y

    def second(self, raw: Array, Y: Array) -> Array:
        return np.exp(raw)

    def least(self, Y: Array) -> Array:
        return Y - entropy(Y)

    def log_base(self, Y: Array) -> Array:
        # −log Γ(y + 1), of each value once
        values, places = np.unique(Y, return_inverse=True)
        return -np.array([math.lgamma(value + 1) for value in values.tolist()])[places].reshape(Y.shape)

    def domain(self, Y: Array) -> tuple[float | Array, float | Array]:
        return -Y, np.inf

    def conjugate(self, u: Array, Y: Array) -> Array:
        value: Array = entropy(u + Y) - (u + Y)
        return value

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # ℓ + ℓ* − α·ŷ = v·log(v/μ) − v + μ
        result: Floats = divergence(np.maximum(dual.alpha + Y, 0.0), np.exp(raw), raw).sum(axis=1)
        return result
