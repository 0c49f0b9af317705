"""What is asked of the weights beside a small loss: l1·‖W‖₁ + (l2/2)·‖W‖², and bounds, low ≤ w ≤ high; never of a bias.

Every weight is by itself here, so that all formulas work on arrays: W (d,), or (d, k) for k outputs, whose bounds are those of
the column. A weight without bounds lies between −∞ and ∞.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.checks import must_be, must_have_shape
from gdcore.messages import Message, Option

if TYPE_CHECKING:
    from gdcore._types import Array, DTypeLike, Floats

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""low and high of every column."""


class Box(NamedTuple):
    """Where weights may be."""

    low: Floats
    """(d,), −∞ where there is none."""
    high: Floats

    @classmethod
    def of(cls, bounds: Bounds | None, columns: int) -> Box:
        """From bounds that were read; None: weights may be anywhere."""
        if bounds is None:
            return cls(np.full(columns, -np.inf), np.full(columns, np.inf))
        return cls(np.array(bounds[0]), np.array(bounds[1]))

    @property
    def closed(self) -> bool:
        """Whether there is any bound."""
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    @property
    def ends(self) -> tuple[Floats, Floats] | None:
        """As the backends take it; None where there is no bound."""
        return (self.low, self.high) if self.closed else None

    def beside(self, W: Array) -> tuple[Floats, Floats]:
        """low and high in a shape that goes with W."""
        shape = (-1, *[1] * (W.ndim - 1))
        return self.low.reshape(shape), self.high.reshape(shape)

    def of_outputs(self, k: int) -> Box:
        """For the weights of k outputs one after the other, (k·d,)."""
        return Box(np.tile(self.low, k), np.tile(self.high, k))

    def about(self, w: Floats) -> Box:
        """For what is added to w (d,)."""
        return Box(self.low - w, self.high - w)

    def clip(self, W: Array) -> Array:
        """The nearest weights within, in W's dtype: of every metric that is a diagonal the proximal step."""
        if not self.closed:
            return W
        clipped: Array = np.clip(W, *self.beside(W)).astype(W.dtype, copy=False)
        return clipped

    def inside(self, W: Array) -> Array:
        """Which weights lie between their bounds, and on none of them."""
        low, high = self.beside(W)
        between: Array = (low < W) & (high > W)
        return between

    def recedes(self, step: Floats) -> bool:
        """Whether weights that are within may go along a step for ever."""
        low, high = self.beside(step)
        return not np.any(((step > 0) & np.isfinite(high)) | ((step < 0) & np.isfinite(low)))


class Penalty(NamedTuple):
    """Of the weights of a linear model."""

    l1: float
    l2: float
    box: Box

    @property
    def kinked(self) -> bool:
        """Whether slopes jump: at 0, or where weights must not go on."""
        return self.l1 > 0 or self.box.closed

    def value(self, W: Floats) -> float:
        """l1·‖W‖₁ + (l2/2)·‖W‖² of weights within the bounds."""
        return self.l1 * float(np.sum(np.abs(W))) + self.l2 / 2 * float(np.sum(W * W))

    def subgradient(self, W: Array, gradient: Array) -> Floats:
        """The smallest subgradient where ∇, with that of l2, is the smooth part's."""
        return smallest(W, gradient.astype(np.float64), self.l1, self.box)

    def excess(self, W: Floats, v: Floats) -> Floats:
        """penalty(w) + penalty*(v) − v·w ≥ 0 of every weight, penalty*(v) = sup over u within the bounds of v·u − penalty(u).

        The supremum is at u = v/l2, shrunk by l1/l2 and clipped; without l2 at the end of [low, high] on whose side v is
        beyond ±l1, else at what is nearest to 0, and there is none where that end is infinite.
        """
        l1, l2, (low, high) = self.l1, self.l2, self.box.beside(W)
        if l2 == 0:
            end = np.where(v > l1, high, np.where(v < -l1, low, np.clip(0.0, low, high)))
            return np.asarray(l1 * (np.abs(W) - np.abs(end)) - v * (W - end), np.float64)
        shrunk = np.sign(v) * np.maximum(np.abs(v) - l1, 0)
        free: Floats = (l2 * W - shrunk) ** 2 / (2 * l2) + (l1 * np.abs(W) - W * (v - shrunk))
        if not self.box.closed:
            return free
        end = np.clip(shrunk / l2, low, high)
        held = l2 / 2 * (W - end) ** 2 + ((l2 * end - v) * (W - end) + l1 * (np.abs(W) - np.abs(end)))
        return np.asarray(np.where((end == low) | (end == high), held, free), np.float64)


def smallest(w: Array, slope: Floats, l1: float, box: Box) -> Floats:
    """The number nearest to 0 between the slopes on both sides of w: −∞ and ∞ where it must not go on.

    Without bounds that is slope + l1·sign(w), or the slope shrunk by l1 where w = 0.
    """
    low, high = box.beside(w)
    least = np.where(w <= low, -np.inf, slope + np.where(w > 0, l1, -l1))
    most = np.where(w >= high, np.inf, slope + np.where(w < 0, -l1, l1))
    result: Floats = np.where(least > 0, least, np.where(most < 0, most, 0.0))
    return np.where(np.isnan(slope), slope, result)


def read(bounds: Any, columns: int, dtype: DTypeLike) -> Bounds | None:
    """The argument ``bounds`` of `gdcore.fit`, rounded to the dtype of the weights; None where no weight has one.

    >>> read((0.0, [1.0, float("inf")]), 2, float)
    ((0.0, 0.0), (1.0, inf))
    >>> read((2.0, 1.0), 2, float)
    Traceback (most recent call last):
    ValueError: bounds of column 0 are 2 and 1: low must not be above high
    """
    if bounds is None:
        return None
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise TypeError(must_be("bounds", "a pair (low, high), each a number or one a column", repr(bounds)[:100])) from None
    ends = _end(low, 0, columns, dtype), _end(high, 1, columns, dtype)
    wrong = np.flatnonzero((ends[0] > ends[1]) | (ends[0] == np.inf) | (ends[1] == -np.inf))
    if len(wrong):
        j = int(wrong[0])
        what = f" of column {j} are {ends[0][j]:g} and {ends[1][j]:g}: "
        rule = "low must not be above high" if ends[0][j] > ends[1][j] else "no weight lies there"
        raise ValueError(Message(Option("bounds"), what, rule))
    return (tuple(ends[0].tolist()), tuple(ends[1].tolist())) if Box(*ends).closed else None


def _end(value: Any, which: int, columns: int, dtype: DTypeLike) -> Floats:
    name = f"bounds[{which}]"
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        given = np.asarray(value)
        if given.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        wanted = f"a number, or {columns} of them, one a column"
        raise TypeError(must_be(name, wanted, repr(value)[:100], "; an infinite one bounds nothing")) from None
    if given.shape not in ((), (columns,)):
        raise ValueError(must_have_shape(name, f"({columns},), one number a column, or () for all", given.shape))
    with np.errstate(over="ignore"):
        result: Floats = np.array(np.broadcast_to(given, columns), dtype).astype(np.float64)
    if np.isnan(result).any():
        raise ValueError(must_be(name, "a number", "nan", f" (column {int(np.argmax(np.isnan(result)))})"))
    return result
