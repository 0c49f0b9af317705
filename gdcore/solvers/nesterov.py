"""Nesterov's accelerated descent in the metric of the data, one pass an epoch.

    x' = prox(w − lr·H⁻¹∇(w)),   w ← x' + k/(k + 3)·(x' − x),   x ← x'

with H as `gdcore.facts.metric` makes it of the bound of the loss's curvature, in which every step is safe; where the step goes
uphill, ∇·(x' − x) > 0, k starts from 0 again. Loss and gradient are those of w, which is the model: one pass tells both.

It serves where no Hessian is made (`gdcore.solvers.newton`): in the metric "diagonal", of softmax with many columns and
classes, and where it or a learning rate is asked for.

mae and quantile are smoothed with width h, which is made smaller whenever the smoothed loss is as good as solved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.course import LR, TOLD, Advance
from gdcore.descent.passes import over_moments, over_rows
from gdcore.descent.problem import GRAM_COLUMNS
from gdcore.descent.state import State, flat, packed, unflat, unpacked
from gdcore.facts import gap
from gdcore.facts.lanczos import hessian_times, lanczos
from gdcore.facts.metric import Identity, Metric, covariance
from gdcore.rows.moments import Moments
from gdcore.solvers.base import Solver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gdcore._types import Array, Floats
    from gdcore.descent.course import Span
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.problem import Problem
    from gdcore.rows.tables import Piece

_RATIO = 4.0  # from one h to the next
_NARROW = 0.5  # of what smoothing costs: a smoothed loss that has less to gain is as good as solved


@dataclass
class Momentum:
    """What the accelerated descent keeps."""

    k: float = 0.0
    """Of the momentum k/(k + 3): 0 in the first epoch with an h."""
    h: float = 0.0
    """The width over which mae and quantile are smoothed."""

    def copy(self) -> Momentum:
        return Momentum(self.k, self.h)

    def to_arrays(self) -> dict[str, Array]:
        return packed(self.k, self.h)

    def from_arrays(self, arrays: Mapping[str, Array]) -> Momentum:
        return Momentum(*unpacked(arrays)[:2])


class Nesterov(Solver[Momentum]):
    """One epoch a call."""

    _steps: Metric | Identity

    def fresh(self) -> Momentum:
        return Momentum()

    def smoothing(self, state: State[Momentum]) -> float:
        return state.own.h

    def begin(self, state: State[Momentum], done: int) -> tuple[State[Momentum], Evaluation]:
        """Makes H, and loss and gradient at the weights as they are."""
        problem, plan = self.problem, self.plan
        self.kind, own = plan.metric, state.own
        self.passes = over_moments(problem) if plan.method == "gram" else over_rows(problem)
        if own.k == 0 and own.h == 0:
            assert state.memory is not None
            state.memory[0] = flat(state.weights, state.bias)
            if problem.loss_function.kinked:
                own.h = _spread(problem)
        self.moments = self._moments()
        self.scale = self._largest() if self.kind == "diagonal" else 1.0
        self._take(Identity() if self.kind is None else self._bound(own.h))
        if plan.lr is not None:
            self.lr = plan.lr
        else:
            self.lr = 1 / (problem.spectrum.largest or 1.0) if self.kind is None else 1.0
        return state, self.passes.evaluate(state.weights, state.bias, own.h)

    def _take(self, metric: Metric | Identity) -> None:
        self._steps, self.metric = metric, metric if isinstance(metric, Metric) else None

    def advance(self, state: State[Momentum], found: Evaluation, span: Span) -> Advance[Momentum]:
        began, piece = time.perf_counter(), self.plan.piece(span.done, 1)
        made = self._epoch(state, found, piece[LR, 0] * self.lr)
        if made is None or not made[1].loss <= span.above:
            return Advance(state, found, piece[:, :0], "diverged")
        state, found, metric = made
        piece[TOLD, 0] = found.loss, found.norm, time.perf_counter() - began
        piece[LR, 0] *= self.lr
        self._take(metric)
        return Advance(state, found, piece)

    def _epoch(
        self, state: State[Momentum], now: Evaluation, lr: float
    ) -> tuple[State[Momentum], Evaluation, Metric | Identity] | None:
        """One epoch: the state, loss and gradient after it, and the metric; None where it left the finite numbers."""
        problem, metric = self.problem, self._steps
        state = state.copy()
        state.judged = None
        own, memory = state.own, state.memory
        assert memory is not None
        w, b = state.weights.astype(np.float64), None if state.bias is None else state.bias.astype(np.float64)
        x, xb = unflat(memory[0], w, b)
        if isinstance(metric, Metric) and self._solved(metric, w, now, own):
            own.h /= _RATIO
            now = self.passes.evaluate(state.weights, state.bias, own.h)
            metric = self._bound(own.h)
            own.k, x, xb = 0.0, w, b
        along, bias_along = metric.step(now.gradient, now.bias_gradient)
        new, new_bias = metric.prox(
            w - lr * along,
            None if b is None or bias_along is None else b - lr * bias_along,
            lr,
            problem.penalty,
            problem.backend,
        )
        if problem.loss_function.targets == "classes" and not problem.penalty.kinked:
            new, new_bias = self._without_common(new, new_bias, w, b)
        accelerate = self.plan.accelerate
        if accelerate and self._uphill(now, metric, w, b, new, new_bias, x, xb):
            own.k = 0.0
        momentum = own.k / (own.k + 3) if accelerate else 0.0
        own.k += 1
        state.weights = problem.penalty.box.clip(new + momentum * (new - x)).astype(state.weights.dtype)
        if new_bias is not None and xb is not None:
            state.bias = (new_bias + momentum * (new_bias - xb)).astype(state.weights.dtype)
        memory[0] = flat(new, new_bias)
        found = self.passes.evaluate(state.weights, state.bias, own.h)
        finite = bool(np.isfinite(found.loss) and np.isfinite(found.norm))
        return (state, found, metric) if finite else None

    def _without_common(self, new: Floats, bias: Floats | None, w: Floats, b: Floats | None) -> tuple[Floats, Floats | None]:
        """What all classes have in common does not change a softmax: l2 makes it 0, without l2 it stays as it was.

        A metric of its own for each class would move it, and only l2 would bring it back, slowly.
        """
        kept = 0.0 if self.problem.l2 > 0 else w.mean(axis=1, keepdims=True)
        new = new - new.mean(axis=1, keepdims=True) + kept
        return new, None if bias is None or b is None else bias - bias.mean() + b.mean()

    def _uphill(
        self, now: Evaluation, metric: Metric | Identity, w: Floats, b: Floats | None, new: Floats, new_bias: Floats | None,
        x: Floats, xb: Floats | None,
    ) -> bool:  # fmt: skip
        # H(w − x') is lr·∇ without l1 and bounds, and with them what the proximal step makes of the gradient.
        kinked, bias_back, bias_on = self.problem.penalty.kinked, None, None
        if b is not None and new_bias is not None and xb is not None:
            bias_back, bias_on = b - new_bias, new_bias - xb
        if kinked and isinstance(metric, Metric):
            u, ub, v, vb = w - new, bias_back, new - x, bias_on
        elif kinked:
            return float(np.sum((w - new) * (new - x))) > 0
        else:
            slope = float(np.sum(now.gradient * (new - x)))
            if bias_on is not None and now.bias_gradient is not None:
                slope += float(np.sum(now.bias_gradient * bias_on))
            return slope > 0
        whole = metric.length(u + v, None if ub is None or vb is None else ub + vb)
        return whole - metric.length(u, ub) - metric.length(v, vb) > 0

    # H -----------------------------------------------------------------------------------------------------------------------

    def _moments(self) -> Moments | None:
        problem = self.problem
        if self.kind is None:
            return None
        return problem.columns if self.kind == "diagonal" else problem.moments.of_columns()

    def _bound(self, smoothing: float) -> Metric:
        problem = self.problem
        assert self.moments is not None
        assert self.kind is not None
        if problem.squared and self.kind == "gram":
            return problem.quadratic.metric  # the same
        curvature = problem.loss_function.bound(smoothing)
        return Metric(self.moments, curvature, problem.l2, problem.has_bias, self.kind, self.scale)

    def _largest(self) -> float:
        """λmax of the columns' correlations: so many times its diagonal bounds H, whatever c and l2 are."""
        problem, bias = self.problem, self.problem.has_bias
        assert self.moments is not None
        C, mean = covariance(self.moments, bias)
        diagonal = C if C.ndim == 1 else np.diag(C)
        root = np.sqrt(np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0))
        if C.ndim == 2:
            return max(1.0, float(np.linalg.eigvalsh(C * root * root[:, None])[-1]))
        times = hessian_times(problem.X, problem.sample_weight, bias, problem.backend_name, problem.n_threads)

        def product(v: Floats) -> Floats:
            w = root * v
            g, gb = times(w, float(-mean @ w) if bias else None)
            return root * (g - mean * gb if bias else g) / 2

        largest, error, _ = lanczos(product, len(root), float(np.finfo(problem.dtype).eps))
        return max(1.0, largest + error)

    def _solved(self, metric: Metric, weights: Floats, now: Evaluation, own: Momentum) -> bool:
        """Whether the smoothed loss is as near its best as smoothing lets it matter, and h shall become smaller."""
        if own.h == 0 or own.k == 0 or self.stop.smooth_enough(own.h, now.loss):
            return False
        # The bound on H, 1/h, says nothing of progress where few rows lie within h: take 1/(2·loss), a usual density.
        left = gap.decrement(metric, weights, now.gradient, now.bias_gradient, self.problem.penalty)
        left *= 2 * self.problem.loss_function.bound(own.h) * now.loss
        return bool(left <= _NARROW * self.stop.smoothing_cost(own.h))


def _spread(problem: Problem) -> float:
    """The first width: twice the targets' standard deviation, or 1 where they are all the same."""
    if problem.d > GRAM_COLUMNS and problem.table is not None:
        targets = problem.table.fold(_targets, problem.n_threads)
        return 2 * float(np.sqrt(np.mean(np.diag(targets.scatter)) / targets.total)) or 1.0
    if problem.d > GRAM_COLUMNS:
        return 2 * float(np.sqrt(np.mean(np.var(problem.in_memory[1].astype(np.float64), axis=0)))) or 1.0
    d, moments = problem.d, problem.moments
    return 2 * float(np.sqrt(np.mean(np.diag(moments.scatter)[d:]) / moments.total)) or 1.0


def _targets(piece: Piece, n_threads: int) -> Moments:
    if piece.sample_weight is not None and not piece.sample_weight.any():
        return Moments.of_nothing(piece.Y.shape[1], piece.Y.shape[1], len(piece.Y))
    return Moments.of(piece.Y, None, piece.sample_weight, n_threads)
