"""Numbers that gradient descent without a metric cannot work with: a network, batches, on columns far from size 1.

The first weights of a network, and its steps, are made for inputs and targets of about size 1. Inputs in the thousands push
every unit to where it is flat, targets in the millions make slopes that no common lr can follow, and what varies by a
hundredth of its mean looks constant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore import notices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array

_FAR = 25.0  # times 1, or times its spread away from 0: what training still copes with
_SAMPLE = 1000  # rows that are looked at
_SHOWN = 3


def odd(table: Array) -> Iterator[tuple[int, str]]:
    """The columns whose size or offset is far from 1, and what is wrong with each.

    >>> list(odd(np.array([[0.5, 2000.0, 1e-6], [-0.5, 2100.0, 0.0]])))
    [(1, 'has sizes up to 2.1e+03'), (2, 'has sizes up to 1e-06')]
    """
    sample = table[:: max(1, math.ceil(len(table) / _SAMPLE))].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.abs(sample).max(axis=0)
        mean, spread = sample.mean(axis=0), sample.std(axis=0)
        size = np.sqrt(np.mean(sample * sample, axis=0))
    for j in range(sample.shape[1]):
        if size[j] > _FAR or 0 < largest[j] < 1 / _FAR:
            yield j, f"has sizes up to {largest[j]:.3g}"
        elif 1e-12 * abs(mean[j]) < spread[j] < abs(mean[j]) / _FAR:
            yield j, f"lies at {mean[j]:.3g} and varies by {spread[j]:.3g}"


def warn(who: str, X: Array, Y: Array | None, advice: str) -> None:
    """`ScaleWarning` where columns of X or of Y, None for one that holds classes, are far from size 1."""
    found = [f"column {j} of X {what}" for j, what in odd(X)]
    if Y is not None:
        found += [f"Y {what}" if Y.shape[1] == 1 else f"column {j} of Y {what}" for j, what in odd(Y)]
    if not found:
        return
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    text = f"{who} learns well from numbers of about size 1: {', '.join(found[:_SHOWN] + more)}. {advice}"
    notices.warn(text, notices.ScaleWarning)


def warn_network(X: Array, Y: Array | None) -> None:
    """Of a network's rows."""
    advice = "Take off each column's mean and divide by its spread, those of Y too, and undo it in what is predicted"
    warn("a network", X, Y, advice)
