"""What is proved of loss − best loss at any weights of a problem: `gdcore.facts.gap` says how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.passes import over_rows
from gdcore.facts import gap
from gdcore.facts.gap import Bound
from gdcore.rows.moments import MOST_COLUMNS

if TYPE_CHECKING:
    from gdcore._types import Array
    from gdcore.descent.problem import Problem
    from gdcore.facts.curvature import Part


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
