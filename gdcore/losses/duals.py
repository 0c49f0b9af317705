"""Slopes that a proof is made of: by Fenchel's inequality ℓ(ŷ) + ℓ*(α) ≥ α·ŷ, each α of a row bounds its loss from below."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


class Dual(NamedTuple):
    """Slopes of some rows."""

    alpha: Floats
    """α (n, k)."""
    room: float = 1.0
    """The largest c ≤ 1 with ℓ*(c·α) finite in all rows."""
    shares: tuple[Floats, ...] = ()
    """Of classes the probabilities that α stand for, without cancellation."""


class Mix(NamedTuple):
    """How slopes are changed so that their mean is 0: (1 − share)·slope + share·other, at predictions moved by ``shift``."""

    share: float = 0.0
    other: Floats = np.zeros(1)
    shift: Floats = np.zeros(1)


def within(alpha: Floats, low: float | Array, high: float | Array) -> float:
    """The largest c ≤ 1 with low ≤ c·α ≤ high, low ≤ 0 ≤ high.

    >>> within(np.array([[-1.0], [4.0]]), -2.0, 2.0)
    0.5
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.where(alpha > high, high / alpha, np.where(alpha < low, low / alpha, 1.0))
    return float(most.min(initial=1.0))
