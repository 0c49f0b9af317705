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
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.facts import gap
from gdcore.facts.metric import Identity, Metric, covariance
from gdcore.facts.spectrum import hessian_times, lanczos
from gdcore.rows import arrays
from gdcore.rows.moments import Moments, check
from gdcore.rows.tables import columns_of

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.rows.tables import Piece

# Places in a run's ``scalars``.
K = 0  # of the momentum k/(k + 3): 0 in the first epoch with an h
SMOOTHING = 1  # h

_RATIO = 4.0  # from one h to the next
_NARROW = 0.5  # of what smoothing costs: a smoothed loss that has less to gain is as good as solved


class Nesterov:
    """The epochs of a `gdcore.training.loop.Training`."""

    def __init__(self, training: Any, kind: str | None, accelerate: bool) -> None:
        self.t, self.kind, self.accelerate = training, kind, accelerate

    def begin(self) -> None:
        """Makes H, and loss and gradient at the weights as they are."""
        t = self.t
        state = t.state
        loss = t.loss_function
        if not state.scalars.any():
            state.memory[0] = _flat(state.weights, state.bias)
            if loss.curvature is None:
                state.scalars[SMOOTHING] = _spread(t)
        self.moments = self._moments()
        self.scale = self._largest() if self.kind == "diagonal" else 1.0
        self.metric: Any = Identity() if self.kind is None else self._bound(state.scalars[SMOOTHING])
        if t.lr is not None:
            self.lr = t.lr
        else:
            self.lr = 1 / (t.spectrum.largest or 1.0) if self.kind is None else 1.0
        t.evaluate(state.scalars[SMOOTHING])
        t.check_start()

    def some_epochs(self, left: int) -> str:
        """Some epochs; the status."""
        t = self.t
        count = 1 if t.each else min(left, 64)
        columns, counted = t.piece(count)
        status = "epochs"
        while counted[0] < count and status == "epochs":
            done = int(counted[0])
            began = time.perf_counter()
            gradient = t.gradients() if t.each else None
            made = self._epoch(columns[4, done] * self.lr)
            if made is None:
                return "diverged"
            state, metric, values = made
            columns[:3, done] = values.loss, values.norm, time.perf_counter() - began
            columns[4, done] *= self.lr
            # One assignment makes the epoch a whole one, wherever a signal strikes.
            t.state = state
            counted[0], self.metric = done + 1, metric
            t.take(values)
            if t.reached(metric, state.scalars[SMOOTHING]):
                status = "converged"
            if t.each:
                stop = t.after_epoch(columns, gradient)
                status = "early_stopped" if stop and status == "epochs" else status
        return status

    def _epoch(self, lr: float) -> tuple[Any, Any, Any] | None:
        """One epoch: the state, the metric, and loss and gradient after it; None where it left the finite numbers."""
        t = self.t
        state = t.state.copy()
        metric: Any = self.metric
        state.done += 1
        state.judged = None
        scalars, memory = state.scalars, state.memory
        w, b = state.weights.astype(np.float64), None if state.bias is None else state.bias.astype(np.float64)
        x, xb = _unflat(memory[0], w, b)
        now = t.values()
        if self._solved(metric, w, now, scalars):
            scalars[SMOOTHING] /= _RATIO
            now = t.evaluated(state.weights, state.bias, scalars[SMOOTHING])
            metric = self._bound(scalars[SMOOTHING])
            scalars[K], x, xb = 0, w, b
        along, bias_along = metric.step(now.gradient, now.bias_gradient)
        new, new_bias = metric.prox(
            w - lr * along, None if b is None or bias_along is None else b - lr * bias_along, lr, t.l1, t.backend
        )
        if t.loss_function.name == "softmax" and t.l1 == 0:
            new, new_bias = self._without_common(new, new_bias, w, b)
        if self.accelerate and self._uphill(now, metric, w, b, new, new_bias, x, xb):
            scalars[K] = 0
        momentum = scalars[K] / (scalars[K] + 3) if self.accelerate else 0.0
        scalars[K] += 1
        state.weights = (new + momentum * (new - x)).astype(state.weights.dtype)
        if new_bias is not None and xb is not None:
            state.bias = (new_bias + momentum * (new_bias - xb)).astype(state.weights.dtype)
        memory[0] = _flat(new, new_bias)
        values = t.evaluated(state.weights, state.bias, scalars[SMOOTHING])
        finite = bool(np.isfinite(values.loss) and np.isfinite(values.norm))
        return (state, metric, values) if finite and values.loss <= t.stop_above else None

    def _without_common(self, new: Floats, bias: Any, w: Floats, b: Any) -> tuple[Floats, Any]:
        """What all classes have in common does not change a softmax: l2 makes it 0, without l2 it stays as it was.

        A metric of its own for each class would move it, and only l2 would bring it back, slowly.
        """
        kept = 0.0 if self.t.l2 > 0 else w.mean(axis=1, keepdims=True)
        new = new - new.mean(axis=1, keepdims=True) + kept
        return new, None if bias is None else bias - bias.mean() + b.mean()

    def _uphill(self, now: Any, metric: Any, w: Floats, b: Any, new: Floats, new_bias: Any, x: Floats, xb: Any) -> bool:
        # H(w − x') is lr·∇ without l1, and with it what the proximal step makes of the gradient.
        t = self.t
        if t.l1 > 0 and isinstance(metric, Metric) and b is not None:
            sides = [(w - new, b - new_bias), (new - x, new_bias - xb)]
        elif t.l1 > 0 and isinstance(metric, Metric):
            sides = [(w - new, None), (new - x, None)]
        elif t.l1 > 0:
            return float(np.sum((w - new) * (new - x))) > 0
        else:
            slope = float(np.sum(now.gradient * (new - x)))
            return slope + (0.0 if b is None else float(np.sum(now.bias_gradient * (new_bias - xb)))) > 0
        (u, ub), (v, vb) = sides
        whole = metric.length(u + v, None if ub is None else ub + vb)
        return whole - metric.length(u, ub) - metric.length(v, vb) > 0

    # H -----------------------------------------------------------------------------------------------------------------------

    def _moments(self) -> Moments | None:
        t = self.t
        if self.kind is None:
            return None
        if self.kind == "diagonal" and t.d > t.MOST_COLUMNS:
            moments = columns_of(t.X, t.sample_weight, t.n_threads)
            if not moments.finite and not t.table:
                arrays.check_finite(t.X, "X")
            check(moments, None if t.table else t.X)
            return moments
        columns: Moments = t.moments.of_columns()
        return columns

    def _bound(self, smoothing: float) -> Metric:
        t = self.t
        assert self.moments is not None
        assert self.kind is not None
        return Metric(
            [self.moments], [t.loss_function.bound(smoothing)], t.l2, t.state.bias is not None, self.kind, self.scale
        )

    def _largest(self) -> float:
        """λmax of the columns' correlations: so many times its diagonal bounds H, whatever c and l2 are."""
        t = self.t
        assert self.moments is not None
        C, mean = covariance(self.moments, t.state.bias is not None)
        diagonal = C if C.ndim == 1 else np.diag(C)
        root = np.sqrt(np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0))
        if C.ndim == 2:
            return max(1.0, float(np.linalg.eigvalsh(C * root * root[:, None])[-1]))
        bias = t.state.bias is not None
        times = hessian_times(t.X, t.sample_weight, bias, t.options.backend, t.n_threads)

        def product(v: Floats) -> Floats:
            w = root * v
            g, gb = times(w, float(-mean @ w) if bias else None)
            scaled: Floats = root * (g - mean * gb if bias else g) / 2
            return scaled

        largest, error, _ = lanczos(product, len(root), float(np.finfo(t.X.dtype).eps))
        return max(1.0, largest + error)

    def _solved(self, metric: Any, weights: Floats, now: Any, scalars: Floats) -> bool:
        """Whether the smoothed loss is as near its best as smoothing lets it matter, and h shall become smaller."""
        t = self.t
        if scalars[SMOOTHING] == 0 or scalars[K] == 0 or t.smooth_enough(scalars[SMOOTHING]):
            return False
        # The bound on H, 1/h, says nothing of progress where few rows lie within h: take 1/(2·loss), a usual density.
        left = gap.decrement(metric, weights, now.gradient, now.bias_gradient, t.l1)
        left *= 2 * t.loss_function.bound(scalars[SMOOTHING]) * t.loss
        return bool(left <= _NARROW * t.smoothing_cost(scalars[SMOOTHING]))


def _spread(t: Any) -> float:
    """The first width: twice the targets' standard deviation, or 1 where they are all the same."""
    if t.d > t.MOST_COLUMNS and t.table:
        targets = t.X.fold(_targets, t.n_threads)
        return 2 * float(np.sqrt(np.mean(np.diag(targets.scatter)) / targets.total)) or 1.0
    if t.d > t.MOST_COLUMNS:
        return 2 * float(np.sqrt(np.mean(np.var(t.Y.astype(np.float64), axis=0)))) or 1.0
    d, moments = t.d, t.moments
    return 2 * float(np.sqrt(np.mean(np.diag(moments.scatter)[d:]) / moments.total)) or 1.0


def _targets(piece: Piece, n_threads: int) -> Moments:
    if piece.sample_weight is not None and not piece.sample_weight.any():
        return Moments.of_nothing(piece.Y.shape[1], piece.Y.shape[1], len(piece.Y))
    return Moments.of(piece.Y, None, piece.sample_weight, n_threads)


def _flat(weights: Array, bias: Array | None) -> Floats:
    """All parameters in a row, as the backends order them."""
    rest = np.zeros(weights.shape[1]) if bias is None else bias
    return np.concatenate([weights.T.ravel(), rest])


def _unflat(flat: Floats, weights: Array, bias: Array | None) -> tuple[Floats, Floats | None]:
    d, k = weights.shape
    return flat[: d * k].reshape(k, d).T.copy(), None if bias is None else flat[d * k :].copy()
