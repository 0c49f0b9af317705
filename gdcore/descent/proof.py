"""What is proved of loss − best loss at any weights of a problem: `gdcore.facts.gap` says how."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.descent.passes import over_rows
from gdcore.facts import gap
from gdcore.facts.gap import Bound
from gdcore.rows.moments import MOST_COLUMNS

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.descent.problem import Problem
    from gdcore.facts.curvature import Part
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece


class Corner(NamedTuple):
    """What a solver knows of a minimum of lines with kinks that it has found exactly."""

    gap: float
    """What rounding may have left of the loss."""
    best: float
    """The loss is nowhere less."""
    rows: Array
    """(rank,) numbers of the rows that fit exactly, or (k, rank) of k outputs."""
    unique: Floats
    """(k,) 1 where no other weights are as good, but for columns that depend on others; else 0."""


def gap_at(problem: Problem, weights: Array, bias: Array | None, anchors: list[Part] | None = None) -> Bound | None:
    """A bound on loss − best loss and what proves it, at the cost of passes; None where nothing is proved.

    ``anchors`` are where Newton's method stood when it ended, whose slopes prove most.
    """
    if not problem.linear or problem.d > MOST_COLUMNS:
        return None
    if problem.squared and not problem.penalty.kinked and problem.clear:
        loss, _, gradient, bias_gradient = over_rows(problem).evaluate(weights, bias)
        found = gap.decrement(problem.quadratic.metric, weights, gradient, bias_gradient, problem.penalty)
        return Bound(gap.rounded_up(problem, found, loss, weights, bias), gap.SQUARES)
    bounds = [gap.bound(problem, weights, bias, anchors)] if problem.hessian_serves else []
    if problem.l2 > 0 and bounds in ([], [None]):
        bounds.append(_by_slopes(problem, weights, bias))
    return min((bound for bound in bounds if bound is not None), default=None)


def above(problem: Problem, weights: Array, bias: Array | None, best: float, least: float, loss: Loss) -> float:
    """How far a loss at weights that are a rounding of a corner's is above ``best``, in float64, at least: one pass."""
    sums: Floats = problem.fold(functools.partial(_loss, weights=weights, bias=bias, loss=loss))
    return max(float(sums[0] / sums[1]) - best, least)


def _loss(piece: Piece, n_threads: int, *, weights: Array, bias: Array | None, loss: Loss) -> Floats:
    raw = piece.X.astype(np.float64) @ weights.astype(np.float64) + (0.0 if bias is None else bias.astype(np.float64))
    values, _ = loss.value_slope(raw, piece.Y.astype(np.float64))
    return np.array([piece.weights @ values.sum(axis=1), piece.weights.sum()])


def _by_slopes(problem: Problem, weights: Array, bias: Array | None) -> Bound | None:
    _, _, gradient, bias_gradient = over_rows(problem).evaluate(weights, bias)
    found = gap.duality_gap(problem, weights, bias, bias_gradient)
    if found is None:
        return None
    bound = Bound(found, gap.DUALITY)
    if bias is None:
        smallest = problem.penalty.subgradient(weights, gradient)
        bound = min(bound, Bound(float(np.sum(smallest**2)) / (2 * problem.l2), gap.CONVEXITY))
    return bound
