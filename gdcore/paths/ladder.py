"""Which penalties a path has: given ones, or a ladder of them, each smaller by the same factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.checks import must_have_shape
from gdcore.messages import Message, Option
from gdcore.rows import arrays

if TYPE_CHECKING:
    from gdcore._types import Floats

_LEAST = 1e-4  # of the largest penalty: the smallest
_ALMOST = 1e-3  # an l1_ratio below it is taken for it: the largest penalty then leaves weights that are hardly anything
_BENDS, _LEAST_BENDS = 1e3, 1e-4  # times the largest curvature of a weight: the penalties of ridge, whose weights are never 0


def given(values: Any) -> Floats:
    """Penalties as they are given, decreasing."""
    found = arrays.floating(values, "penalties").astype(np.float64)
    if found.ndim != 1 or not len(found):
        raise ValueError(must_have_shape("penalties", "(m,), or how many", found.shape))
    arrays.check_finite(found, "penalties")
    if found.min() <= 0:
        raise ValueError(Message(Option("penalties"), f" must be above 0, found {found.min():g}; gdcore.fit needs none"))
    return np.sort(found)[::-1].copy()


def ladder(steepest: float, bend: float, count: int, ratio: float) -> Floats:
    """Penalties (count,) from the smallest one at which an l1 keeps weights of such slopes at 0, down to 1e-4 of it; of ridge
    by the largest curvature, for an l2 has its units, whatever those of the targets are."""
    if not steepest > 0:
        raise ValueError(
            "no column of X tells anything of Y, so that all weights are 0 at every penalty: give penalties of your own"
        )
    if ratio == 0:
        return np.geomspace(_BENDS * bend, _LEAST_BENDS * bend, count)
    top = steepest / max(ratio, _ALMOST)
    while ratio >= _ALMOST and top * ratio < steepest:  # rounding
        top = float(np.nextafter(top, np.inf))
    found = np.geomspace(top, top * _LEAST, count)
    found[0] = top
    return found
