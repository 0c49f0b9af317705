"""When a descent has converged: tol, and what it is about.

Of a linear model by the proved gap; where none can be proved, by the gradient in the metric of the steps, or, where these
have none, of the data: no unit of a column or of Y has a say. Of a network by the gradient's norm. A proof costs passes: it is
tried once the gradient says that it may succeed, and again only when that has halved. Newton's method, whose parts end one by
one, judges itself (`gdcore.solvers.ends`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.descent.problem import GRAM_COLUMNS
from gdcore.descent.proof import gap_at
from gdcore.facts import gap
from gdcore.facts.metric import Metric

if TYPE_CHECKING:
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.descent.state import State

LEEWAY = 1000.0
"""So many times tol a gap may be that is known no better, for rounding."""
_POLISHED = 1e-4  # of the floor: squared error goes on until so little is left to gain
_SLOWLY = 100  # or until an epoch makes what is left less than so many times smaller
_FLOOR = 16.0  # times ε² of the targets' size: a gap below it is rounding


class Verdict(NamedTuple):
    """What is said of a descent between two epochs."""

    status: str
    """"converged", or "epochs": it goes on."""
    proof: float | None = None
    """What the loss is at most above the best one, where that was proved for the verdict."""


_ON = Verdict("epochs")


@dataclass(frozen=True, eq=False)
class Stop:
    """When a problem that is descended by a plan has converged."""

    problem: Problem
    plan: Plan

    def judge(self, state: State[Any], found: Evaluation, metric: Metric | None, smoothing: float = 0.0) -> Verdict:
        """Whether tol is reached; the state remembers what was said, so that a resumed run does not look again.

        ``metric`` is that of the steps; ``smoothing`` the width h of mae and quantile, whose loss ``found`` tells.
        """
        tol = self.plan.tol
        if tol is None:
            return _ON
        quick, state.judged = state.quick, None
        try:
            verdict = self._judge(tol, state, found, metric, smoothing)
            state.judged = (tol, verdict.status == "converged")
        finally:
            if state.judged is None:
                state.quick = quick  # an exception: nobody has looked
        return verdict

    def at_start(self, state: State[Any], found: Evaluation, metric: Metric | None, smoothing: float = 0.0) -> Verdict:
        """Likewise before the first epoch."""
        if state.judged is not None and state.judged[0] == self.plan.tol:
            return Verdict("converged" if state.judged[1] else "epochs")
        return self.judge(state, found, metric, smoothing)

    def _judge(self, tol: float, state: State[Any], found: Evaluation, metric: Metric | None, smoothing: float) -> Verdict:
        problem = self.problem
        if not problem.linear:
            return Verdict("converged" if found.norm <= tol else "epochs")
        if problem.squared and problem.d <= GRAM_COLUMNS:
            return self._of_squares(tol, state, found, metric)
        if found.norm == 0 and not smoothing:
            return Verdict("converged")
        if problem.loss_function.kinked and not smoothing:
            return _ON  # slopes that jump do not become small
        return self._in_metric(tol, state, found, metric or self._data_metric, smoothing)

    @functools.cached_property
    def _data_metric(self) -> Metric:
        """H as the data and the bound of the loss's curvature make it."""
        problem = self.problem
        kind, curvature = "gram" if problem.d <= GRAM_COLUMNS else "diagonal", problem.loss_function.bound()
        return Metric(problem.columns, curvature, problem.l2, problem.has_bias, kind)

    def _of_squares(self, tol: float, state: State[Any], found: Evaluation, metric: Metric | None) -> Verdict:
        problem, plan = self.problem, self.plan
        quadratic, weights = problem.quadratic, state.weights
        left = gap.decrement(quadratic.metric, weights, found.gradient, found.bias_gradient, problem.penalty)
        before, floor = state.quick, _FLOOR * float(np.finfo(problem.dtype).eps) ** 2 * quadratic.size
        enough = tol * found.loss + floor
        if problem.penalty.kinked or not problem.clear:
            # What l1 and bounds make of directions in which H is 0, or seems to be, only the rows tell; they are asked again
            # when the rest is half of what it was.
            if left > min(enough, before / 2):
                return _ON
            state.quick = left
            bound = gap_at(problem, weights, state.bias)
            return Verdict("converged", bound.value) if bound is not None and bound.value <= enough else _ON
        state.quick = left
        if left > enough:
            return _ON
        proved = gap.rounded_up(problem, left, found.loss, weights, state.bias)
        if proved > LEEWAY * tol * found.loss + floor:
            return _ON
        # By default squared error goes on while an epoch still brings digits: two or three are enough.
        polishing = plan.auto and plan.tol_by_default and metric is not None
        if polishing and not (left <= _POLISHED * floor or left > before / _SLOWLY):
            return _ON
        return Verdict("converged", proved)

    def _in_metric(self, tol: float, state: State[Any], found: Evaluation, metric: Metric, smoothing: float) -> Verdict:
        problem = self.problem
        estimate = gap.decrement(metric, state.weights, found.gradient, found.bias_gradient, problem.penalty)
        if smoothing:
            # The metric bounds a curvature that few rows have: only the proof says how much is left.
            near = estimate <= tol * found.loss / 2 + self.rounding and estimate <= state.quick / 2
            return self._proved(tol, state, found, estimate) if near and self.smooth_enough(smoothing, found.loss) else _ON
        if estimate > tol * abs(found.loss):  # a loss of one's own may be below 0
            return _ON
        if problem.l2 > 0 and problem.loss_function.has_conjugate:
            return self._certified(tol, state, found, metric)
        if not problem.provable:
            return Verdict("converged")  # nothing can be proved: the gradient in the metric decides
        # A metric that bounds the Hessian from above tells too little of what is left.
        return self._proved(tol, state, found, estimate) if estimate <= state.quick / 2 else _ON

    def _certified(self, tol: float, state: State[Any], found: Evaluation, metric: Metric) -> Verdict:
        # The proof costs passes: it is tried once the part of it that the gradient tells is small enough, and again only
        # when the gradient has halved. The proof moves the bias until ∇b is 0, which leaves ∇w − μ·∇b of columns with means μ.
        problem, gradient = self.problem, found.gradient
        if found.bias_gradient is not None:
            gradient = metric.about_means(gradient, found.bias_gradient)
        slope = float(np.linalg.norm(problem.penalty.subgradient(state.weights, gradient)))
        if slope**2 / (2 * problem.l2) > tol * found.loss or slope > state.quick / 2:
            return _ON
        return self._proved(tol, state, found, slope)

    def _proved(self, tol: float, state: State[Any], found: Evaluation, quick: float) -> Verdict:
        """The proof, at the cost of passes; ``quick`` is what led to it."""
        state.quick = quick
        bound = gap_at(self.problem, state.weights, state.bias)
        return Verdict("converged", bound.value) if bound is not None and bound.value <= tol * found.loss else _ON

    # mae and quantile are smoothed within h -------------------------------------------------------------------------------

    def smoothing_cost(self, smoothing: float) -> float:
        """What smoothing costs at most: h/4 (mae: h/2) for each row within h of its target, and that may be all."""
        return float(self.problem.loss_function.jump / 4 * smoothing * self.problem.outputs)

    def smooth_enough(self, smoothing: float, loss: float) -> bool:
        """Whether that is within tol."""
        tol = self.plan.default_tol if self.plan.tol is None else self.plan.tol
        return self.smoothing_cost(smoothing) <= max(tol, 1e-9) * loss / 2 + self.rounding

    @functools.cached_property
    def rounding(self) -> float:
        """What of a loss like |r| is rounding: where the data lie on a line, there is nothing else."""
        problem = self.problem
        if problem.d > GRAM_COLUMNS:
            return 0.0
        spread = problem.moments.deviations[problem.d :]
        return 100 * float(np.finfo(problem.dtype).eps) * float(np.mean(spread))
