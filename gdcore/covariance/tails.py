"""Tails of the normal and of Student's t distribution, and their quantiles, without SciPy.

The normal tail is ½·erfc(x/√2). Student's with ν degrees of freedom is ½·I(ν/(ν + t²); ν/2, ½), I the regularised incomplete
beta function, by its continued fraction (Abramowitz and Stegun 26.5.8) as Lentz evaluates it; of many degrees of freedom it is
the normal tail at a value near t that a series gives (Hill 1970).
"""

from __future__ import annotations

import math
from statistics import NormalDist

_STEPS = 10_000
_TINY = 1e-300
_LARGE = 50.0
_MANY = 20_000.0  # degrees of freedom from which on the series has all digits, and the fraction loses some


def two_sided(value: float, freedom: float | None = None) -> float:
    """P(|T| ≥ |value|) of Student's t with so many degrees of freedom; None: of the normal distribution.

    >>> round(two_sided(1.959963984540054), 15)
    0.05
    >>> round(two_sided(1.0, 1.0), 12)
    0.5
    """
    if math.isnan(value):
        return math.nan
    size = abs(value)
    if math.isinf(size):
        return 0.0
    if freedom is not None and freedom >= _MANY:
        size = _as_normal(size, freedom)
    if freedom is None or freedom >= _MANY:
        return math.erfc(size / math.sqrt(2))
    return _beta(freedom / 2, size * size / freedom)


def quantile(tail: float, freedom: float | None = None) -> float:
    """The value that is passed on either side with this probability together: `two_sided` of it is ``tail``.

    >>> round(quantile(0.05), 12)
    1.95996398454
    >>> round(quantile(0.5, 1.0), 12)
    1.0
    """
    if freedom is None:
        return -NormalDist().inv_cdf(tail / 2)
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > tail:
        low, high = high, 2 * high
    while high - low > 4e-16 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def _as_normal(size: float, freedom: float) -> float:
    """The value of a normal distribution that is as improbable."""
    a = freedom - 0.5
    b, y = 48 * a * a, a * math.log1p(size * size / freedom)
    inner = (((-0.4 * y - 3.3) * y - 24) * y - 85.5) / (0.8 * y * y + 100 + b)
    return ((inner + y + 3) / b + 1) * math.sqrt(y)


def _beta(a: float, odds: float) -> float:
    """I(x; a, ½), x = 1/(1 + odds)."""
    x, rest = 1 / (1 + odds), odds / (1 + odds)
    if rest == 0:
        return 1.0
    front = math.exp(_half_step(a) - math.log(math.pi) / 2 - a * math.log1p(odds) + math.log(rest) / 2)
    if x < (a + 1) / (a + 2.5):
        return front * _fraction(a, 0.5, x) / a
    return 1 - front * _fraction(0.5, a, rest) * 2


def _half_step(a: float) -> float:
    """log Γ(a + ½) − log Γ(a): of a large a by its series, for the difference would cancel."""
    if a < _LARGE:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5) + 17 / (14336 * a**7)


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _far(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / _far(1 + term * d), _far(1 + term / c)
            change = c * d
            value *= change
        if abs(change - 1) < 4e-16:
            break
    return value


def _far(value: float) -> float:
    """Away from 0."""
    return value if abs(value) > _TINY else _TINY
