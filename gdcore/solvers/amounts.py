"""What the targets tell of a loss of amounts before a descent: where the best constants are, and how large its numbers are."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.losses.targets import check_targets

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.descent.problem import Problem
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece


class Amounts(NamedTuple):
    """Of every output (k,)."""

    constants: Floats
    """ŷ of the best constant: that of the targets' mean; −∞ where all are 0."""
    least: Floats
    """The least loss that the targets allow."""
    above: Floats
    """How far the best constant's loss lies above it: half the null deviance of a row."""
    curvature: Floats
    """∂²ℓ/∂ŷ² there: about how bent a row's loss is, and how steep."""


def amounts(problem: Problem) -> Amounts:
    """All these losses are straight in y, so that the mean loss of a constant is that of one row with the mean."""
    loss, k = problem.loss_function, problem.outputs
    sums: Floats = problem.fold(functools.partial(_totals, loss=loss))
    means, least = sums[1 : 1 + k] / sums[0], sums[1 + k :] / sums[0]
    constants = loss.link(means)
    there = np.isfinite(constants)
    at, y = np.where(there, constants, 0.0)[None], means[None]
    above = np.where(there, loss.value_slope(at, y)[0][0] - least, 1.0)
    return Amounts(constants, least, np.maximum(above, 0.0), loss.second(at, y)[0])


def _totals(piece: Piece, n_threads: int, *, loss: Loss) -> Floats:
    """Σ s, Σ s·y (k,), and Σ s of the least loss (k,) that the targets allow."""
    check_targets(piece.Y, loss.targets, None, "in a piece of the table Y")
    s = np.ones(len(piece.Y)) if piece.sample_weight is None else piece.sample_weight.astype(np.float64)
    used = s > 0
    Y, s = piece.Y[used].astype(np.float64), s[used]
    return np.concatenate([[s.sum()], s @ Y, s @ loss.least(Y)])
