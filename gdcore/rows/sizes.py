"""Sizes of residuals, counted by their power of 2: what tells how wide to smooth mae, quantile and huber.

A histogram has a sum of s/Σs for every power of 2 that float64 has, and one for 0. Such sums add up over pieces of a table,
which sorted residuals do not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Floats

BINS = 2200  # more than float64 has powers of 2
_ONE = 1100  # the bin of 1/2 ≤ |r| < 1
_NARROWER = 0.25  # of the rows within h are within the next h
_MANY = 16  # times the fewest rows that tell all weights: above it the next h is chosen by its rows
_OUTLYING = 8  # times the median: residuals count for no more


def counted(sizes: Floats, s: Floats) -> Floats:
    """The histogram of |r|, rows weighing s."""
    bins = np.clip(np.frexp(sizes)[1] + _ONE, 0, BINS - 1)
    bins[sizes == 0] = 0
    return np.asarray(np.bincount(bins, weights=s, minlength=BINS), np.float64)


def _width(place: int) -> float:
    return float(2.0 ** np.clip(place - _ONE, -1000, 1000))


def width_of_share(histogram: Floats, share: float) -> float:
    """A width within which about that share of the rows is; where more fit exactly, that of the smallest other residual."""
    chosen = int(np.argmax(np.cumsum(histogram) >= share))
    if chosen == 0:
        some = np.flatnonzero(histogram[1:])
        chosen = int(some[0]) + 1 if len(some) else _ONE
    return _width(chosen)


def width_below(histogram: Floats, share: float) -> float:
    """The largest width within which less than that share of the rows is."""
    return _width(int(np.argmax(np.cumsum(histogram) > share)) - 1)


def share_within(histogram: Floats, width: float) -> float:
    """About the share of the rows within a width."""
    return float(histogram[: max(0, math.frexp(width)[1] + _ONE)].sum())


def typical(histogram: Floats) -> float:
    """The mean size of residuals, of which none counts for more than eight times the median: outliers do not decide."""
    widths = 2.0 ** np.clip(np.arange(len(histogram)) - _ONE, -1000, 1000)
    widths[0] = 0.0
    middle = widths[int(np.argmax(np.cumsum(histogram) >= 0.5))]
    return float(histogram @ np.minimum(widths, _OUTLYING * middle))


def next_width(histogram: Floats, width: float, fewest: float) -> float:
    """The next h: within it lie a quarter of the rows within this one, where these are many; else it is a quarter of this."""
    share = share_within(histogram, width)
    wanted = np.flatnonzero(np.cumsum(histogram) <= _NARROWER * share)
    chosen = _width(int(wanted[-1])) if len(wanted) and share > _MANY * fewest else width
    return min(width / 4, max(chosen, width / 64))
