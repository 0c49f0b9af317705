"""Tweedie's quasi-likelihood, for amounts of which many are 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import number
from gdcore.losses.loglink import LogLink

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses.duals import Dual

_STEPS = 100  # halvings of Newton's method in one variable, which needs some ten
_SMALL = 1e-2  # below it e^x − 1 − x cancels, and its series is taken
_TERMS = 9  # of that series: what is left out is 1e-20 of it


class Tweedie(LogLink, compiled=True):
    """Tweedie's quasi-likelihood with a log link, for y ≥ 0 with many zeros, as the claims of insurance policies are:
    ℓ = Σ e^((2−p)ŷ)/(2−p) − ye^((1−p)ŷ)/(1−p), 1 < p < 2.

    Derivation: with a variance of μ^p, the quasi-score of a mean μ is (y − μ)/μ^p (Wedderburn 1974). Its integral over μ is
    yμ^(1−p)/(1−p) − μ^(2−p)/(2−p), and with ŷ = log μ its negative is ℓ. So ∂ℓ/∂ŷ = e^((2−p)ŷ) − ye^((1−p)ŷ), the curvature
    (2−p)e^((2−p)ŷ) + (p−1)ye^((1−p)ŷ), which has no bound; the third derivative is at most max(2−p, p−1) ≤ 1 times as large.
    For p → 1 it is Poisson's, for p → 2 gamma's. The conjugate: u·ŷ − ℓ is largest where ∂ℓ/∂ŷ = u, an equation in one number
    that has one solution for every u, where y > 0, and for u > 0, where y = 0.

    >>> Tweedie(power=1.5).at(0.0, y=3.0)
    (8.0, -2.0)

    Raises
    ------
    ValueError, TypeError
        p is no number between 1 and 2.
    """

    name = "tweedie"
    formula = "Σ e^((2−p)ŷ)/(2−p) − ye^((1−p)ŷ)/(1−p)"
    derivative = "e^((2−p)ŷ) − ye^((1−p)ŷ)"
    third = 1.0

    power: float

    def __init__(self, power: float = 1.5) -> None:
        super().__init__(power=number(power, "power", above=1, below=2))

    @property
    def _rates(self) -> tuple[float, float]:
        """a = 2 − p and b = p − 1, both above 0: ℓ = e^(aŷ)/a + ye^(−bŷ)/b."""
        return 2 - self.power, self.power - 1

    @property
    def variance_power(self) -> float:
        return self.power

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        a, b = self._rates
        # forward   ℓ = Σ e^(aŷ)/a + ye^(−bŷ)/b
        grows, falls = np.exp(a * raw), Y * np.exp(-b * raw)
        # backward  ∂ℓ/∂ŷ = e^(aŷ) − ye^(−bŷ)
        return grows / a + falls / b, grows - falls

    def second(self, raw: Array, Y: Array) -> Array:
        a, b = self._rates
        return a * np.exp(a * raw) + b * Y * np.exp(-b * raw)

    def least(self, Y: Array) -> Array:
        a, b = self._rates
        return Y**a / (a * b)

    def domain(self, Y: Array) -> tuple[float | Array, float | Array]:
        return np.where(Y > 0, -np.inf, 0.0), np.inf

    def conjugate(self, u: Array, Y: Array) -> Array:
        u, Y = np.broadcast_arrays(u, Y)
        at = self._where(u, Y)
        value = u * at - self.value_slope(at, Y)[0]
        return np.where(Y > 0, value, np.where(u > 0, value, np.where(u < 0, np.inf, 0.0)))

    def _where(self, u: Floats, Y: Floats) -> Floats:
        """ŷ with ∂ℓ/∂ŷ = u, by Newton's method on a logarithm, which is nearly straight; 0 where there is none.

        For u ≥ 0 that of e^(aŷ) = u + ye^(−bŷ), else that of ye^(−bŷ) = e^(aŷ) − u: both sides are above 0, their logarithms
        differ by a function of ŷ whose slope lies between a, or b, and 1 = a + b, so that Newton's steps cannot get lost.
        """
        a, b = self._rates
        up = u >= 0
        none = (Y <= 0) & (u <= 0)
        u, y = np.where(none, 1.0, u), np.where(none, 1.0, Y)
        with np.errstate(divide="ignore"):
            at = np.where(up, np.log(np.maximum(u, 1e-300)) / a, -np.log(np.maximum(-u, 1e-300) / np.maximum(y, 1e-300)) / b)
            balance = np.log(np.maximum(y, 1e-300))  # where the slope is 0, as a + b = 1
            at = np.where(y > 0, np.where(up, np.maximum(at, balance), np.minimum(at, balance)), at)
        for _ in range(_STEPS):
            grows, falls = np.exp(a * at), y * np.exp(-b * at)
            with np.errstate(divide="ignore", invalid="ignore"):
                off = np.where(up, a * at - np.log(u + falls), np.log(grows - u) - np.log(y) + b * at)
                bend = np.where(up, a + b * falls / (u + falls), b + a * grows / (grows - u))
            step = off / bend
            at = at - step
            if np.all(np.abs(step) <= 4e-16 * (1 + np.abs(at))):
                break
        return np.where(none, 0.0, at)

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        # with η* where ∂ℓ/∂ŷ = α and Δ = ŷ − η*: e^(aη*)·φ(aΔ)/a + ye^(−bη*)·φ(−bΔ)/b, φ(x) = e^x − 1 − x
        a, b = self._rates
        alpha, Y = np.broadcast_arrays(dual.alpha, Y)
        at = self._where(alpha, Y)
        away = raw - at
        terms = np.exp(a * at) * _beyond_line(a * away) / a + Y * np.exp(-b * at) * _beyond_line(-b * away) / b
        terms = np.where((Y <= 0) & (alpha <= 0), np.exp(a * raw) / a, terms)
        result: Floats = terms.sum(axis=1)
        return result


def _beyond_line(x: Floats) -> Floats:
    """e^x − 1 − x, without cancellation.

    >>> float(_beyond_line(np.array(1e-9)))
    5.000000001666667e-19
    """
    series = np.zeros_like(x)
    small = np.where(np.abs(x) < _SMALL, x, 0.0)
    for n in range(_TERMS, 2, -1):  # x²/2·(1 + x/3·(1 + x/4·(1 + …)))
        series = small / n * (1 + series)
    series = small * small / 2 * (1 + series)
    with np.errstate(over="ignore"):
        result: Floats = np.where(np.abs(x) < _SMALL, series, np.expm1(x) - x)
    return result
