"""Nesterov's accelerated descent in the metric of the data, one pass an epoch.

    x' = prox(w − lr·H⁻¹∇(w)),   w ← x' + k/(k + 3)·(x' − x),   x ← x'

with H as `gdcore.metric` makes it; where the step goes uphill, ∇·(x' − x) > 0, k starts from 0 again. Loss and gradient are
those of w, which is the model: one pass tells both.

H is first the bound of the loss's curvature, in which every step is safe, and often far above the curvature that the data
have. Where progress is slow, H is measured at w itself (one more pass, as that for the bound). Steps in it may overshoot: one
that raises the loss is taken back, and the bound takes over.

mae and quantile are smoothed with width h, which is halved whenever the smoothed loss is as good as solved.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import gap, rows
from gdcore.backends import BACKENDS
from gdcore.metric import Identity, Metric, covariance
from gdcore.moments import Moments, check, engine_for
from gdcore.spectrum import hessian_times, lanczos
from gdcore.tables import columns_of, fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.tables import Piece

# Places in a run's ``scalars``.
K = 0  # of the momentum k/(k + 3)
SINCE, FIRST = 1, 2  # epochs since H was made, and the decrement ½·∇ᵀH⁻¹∇ then
LOCAL = 3  # whether H was measured at some weights, which ``memory[1]`` keeps
SMOOTHING, BAND = 4, 7  # h, and the share of rows within h of their target when H was made
DAMPING = 5  # steps in a measured H are divided by 1 + this, since one was taken back
VAIN = 6  # how often measuring H anew was of little use

_SLOW = 0.3  # a metric in which the decrement shrinks by less than this factor an epoch is slow
_RATIO = 4.0  # from one h to the next
_NARROW = 0.5
_WIDER = 3.0  # H is measured with a width so many times h: more rows tell it
_NO_STEP = 1e16  # times shorter, a step is lost in rounding
_FLOOR = {"mae": 0.05, "quantile": 0.05, "huber": 0.02}
"""Of the mean curvature, added to every row's, where a step may give curvature to rows that have none."""


class Nesterov:
    """The epochs of a `gdcore.loop.Training`."""

    band = 1.0

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
                state.scalars[[SMOOTHING, BAND]] = _spread(t), 1
        self.moments = self._moments()
        self.scale = self._largest() if self.kind == "diagonal" else 1.0
        self.bound: Any = Identity() if self.kind is None else self._bound(state.scalars[SMOOTHING])
        if state.scalars[SMOOTHING] and self.kind == "gram":
            assert self.moments is not None
            self.plain = Metric([self.moments], [1.0], t.l2, t.state.bias is not None, "gram")
        if t.lr is not None:
            self.lr = t.lr
        else:
            self.lr = 1 / (t.spectrum.largest or 1.0) if self.kind is None else 1.0
        self.metric = self.bound
        if state.scalars[LOCAL] and self.kind == "gram":
            anchor = _unflat(state.memory[1], state.weights, state.bias)
            self.metric = self._local(*anchor, state.scalars[SMOOTHING]) or self.bound
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
            if t.reached(metric, state.scalars[SMOOTHING], state.scalars[BAND]):
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
        decrement = 0.0 if t.squared else gap.decrement(metric, w, now.gradient, now.bias_gradient, t.l1)
        if scalars[SINCE] == 0:
            scalars[FIRST] = decrement
        narrower = scalars[SMOOTHING] > 0 and self._narrow(decrement, scalars)
        if narrower:
            now = t.evaluated(state.weights, state.bias, scalars[SMOOTHING])
        if narrower and self.kind == "diagonal":
            metric = self._bound(scalars[SMOOTHING])
            scalars[[K, SINCE]], x, xb = 0, w, b
        elif narrower or self._slow(decrement, scalars):
            local = self._local(state.weights, state.bias, scalars[SMOOTHING])
            if local is not None:
                if scalars[LOCAL] and not narrower and scalars[SINCE] < 2 * self._wait(scalars):
                    scalars[VAIN] += 1
                scalars[BAND] = self.band
                metric, memory[1] = local, _flat(w, b)
                scalars[[K, SINCE]], scalars[LOCAL], x, xb = 0, 1, w, b
                if narrower:
                    scalars[DAMPING] = 0
                scalars[FIRST] = gap.decrement(metric, w, now.gradient, now.bias_gradient, t.l1)
        lr /= 1 + scalars[DAMPING]
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
        scalars[SINCE] += 1
        state.weights = (new + momentum * (new - x)).astype(state.weights.dtype)
        if new_bias is not None and xb is not None:
            state.bias = (new_bias + momentum * (new_bias - xb)).astype(state.weights.dtype)
        memory[0] = _flat(new, new_bias)
        values = t.evaluated(state.weights, state.bias, scalars[SMOOTHING])
        finite = bool(np.isfinite(values.loss) and np.isfinite(values.norm))
        if not finite or values.loss > t.ceiling or (scalars[LOCAL] and self._climbed(state, values.loss, now.loss)):
            if not scalars[LOCAL]:
                return None
            # Taken back; the next step is a quarter as long.
            state.weights, state.bias, values = t.state.weights, t.state.bias, now
            scalars[K], scalars[SINCE] = 0, max(scalars[SINCE], 1)
            scalars[DAMPING] = min(4 * (1 + scalars[DAMPING]) - 1, _NO_STEP)
            memory[0] = _flat(w, b)
        else:
            scalars[DAMPING] = max(0.0, (1 + scalars[DAMPING]) / 2 - 1)
        return state, metric, values

    def _climbed(self, state: Any, loss: float, before: float) -> bool:
        """Whether the loss rose by more than smoothing and rounding explain.

        The predictions x·w + b are rounded as their terms are, far larger ones where columns lie far from 0; a loss moves by
        its slope times that.
        """
        t = self.t
        weights, bias = state.weights, state.bias
        assert self.moments is not None
        sizes = np.sqrt(np.diag(self.moments.scatter) / self.moments.total + self.moments.mean**2)
        terms = float(np.sum(sizes @ np.abs(weights, dtype=np.float64)))
        terms += 0.0 if bias is None else float(np.sum(np.abs(bias, dtype=np.float64)))
        steepest = t.loss_function.parameter if t.loss_function.name == "huber" else 1.0
        rounding = float(np.finfo(weights.dtype).eps) * (8 * abs(before) + steepest * terms)
        smoothing = t.smoothing_cost(state.scalars[SMOOTHING], state.scalars[BAND]) / 16
        return loss > before + rounding + float(smoothing)

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
                rows.check_finite(t.X, "X")
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

    def _narrow(self, decrement: float, scalars: Floats) -> bool:
        """Makes h smaller where the smoothed loss is as near its best as smoothing lets it matter."""
        t = self.t
        if scalars[SINCE] == 0:
            return False
        cost = t.smoothing_cost(scalars[SMOOTHING], scalars[BAND])
        if self.kind == "diagonal":
            # The bound on H, 1/h, says nothing of progress where few rows lie within h: take 1/(2·loss), a usual density.
            decrement *= 2 * t.loss_function.bound(scalars[SMOOTHING]) * t.loss
        if decrement > _NARROW * cost or t.smooth_enough(scalars[SMOOTHING], scalars[BAND]):
            return False
        scalars[SMOOTHING] /= _RATIO
        return True

    def _slow(self, decrement: float, scalars: Floats) -> bool:
        """Whether a metric measured at the weights would pay: decided by counting, so that it is the same on any machine."""
        t = self.t
        if self.kind != "gram" or t.loss_function.name == "mse" or decrement <= 1e-14 * abs(t.loss):
            return False
        since = scalars[SINCE]
        return bool(since >= self._wait(scalars) and decrement > _SLOW**since * scalars[FIRST])

    def share_within(self, smoothing: float) -> float:
        """The share of rows whose prediction is within h of the target, of all outputs."""
        t = self.t
        part = functools.partial(
            _within, backend=t.options.backend, weights=t.state.weights, bias=t.state.bias, smoothing=smoothing
        )
        sums = fold(t.X, t.Y, t.sample_weight, part, t.n_threads)
        share = float(sums[0] / sums[1])
        t.state.scalars[BAND] = max(t.state.scalars[BAND], share)
        return share

    def _wait(self, scalars: Floats) -> float:
        """Epochs in a metric before it is judged: more where measuring costs more passes, and where it was in vain before."""
        passes = (2 + self.t.d / 16) * self.t.state.weights.shape[1]
        enough = max(2.0, passes / 8) if scalars[LOCAL] else max(4.0, passes / 4)
        return float(enough * 2 ** scalars[VAIN])

    def _local(self, weights: Array, bias: Array | None, smoothing: float) -> Metric | None:
        """H where the weights are: each row weighs as much as the loss is curved at its prediction."""
        t = self.t
        width = _WIDER * smoothing
        base = t.moments.of_columns()
        shift = base.mean
        part = functools.partial(
            _curved, backend=t.options.backend, weights=weights, bias=bias, loss=t.loss_function, width=width, shift=shift
        )
        multiple = engine_for(len(shift), t.options.backend).whole_rows(np.empty((1, t.d), t.X.dtype), None, moments=True)
        found_sums = fold(t.X, t.Y, t.sample_weight, part, t.n_threads, _together, multiple)
        moments, curvatures = [], []
        floor = _FLOOR.get(t.loss_function.name, 1e-4)
        for sums in found_sums:
            mean = float(sums[1]) / base.total
            if not (np.isfinite(mean) and mean > 0):
                return None
            # A little of the plain moments: rows without curvature may have some a step later.
            found = Moments.settled(sums, shift, t.d, base.rows) + base.scaled(floor * mean)
            moments.append(found)
            curvatures.append(found.total / base.total)
        if smoothing:
            self.band = float(np.mean(curvatures)) / (1 + floor) / t.loss_function.bound(width) / _WIDER
        return Metric(moments, curvatures, t.l2, bias is not None, "gram")


def _within(piece: Piece, n_threads: int, *, backend: str, weights: Array, bias: Array | None, smoothing: float) -> Floats:
    """Σ s of the rows within h of their target, the mean of all outputs, and Σ s."""
    raw = np.empty((len(piece.X), weights.shape[1]), weights.dtype)
    BACKENDS[backend].predict(piece.X, weights, bias, raw, n_threads)
    s = np.ones(len(raw)) if piece.sample_weight is None else piece.sample_weight
    return np.array([s @ (np.abs(raw - piece.Y) <= smoothing).mean(axis=1), np.sum(s)], np.float64)


def _curved(
    piece: Piece, n_threads: int, carried: Floats | None = None, *, backend: str, weights: Array, bias: Array | None,
    loss: Loss, width: float, shift: Floats,
) -> Floats:  # fmt: skip
    """Second moments of X for each output (k, …), each row weighing as much as the loss is curved at its prediction."""
    raw = np.empty((len(piece.X), weights.shape[1]), weights.dtype)
    BACKENDS[backend].predict(piece.X, weights, bias, raw, n_threads)
    curved = loss.curvatures(raw.astype(np.float64, copy=False), piece.Y, width)
    sums = []
    for c in range(raw.shape[1]):
        s = curved[:, c] if piece.sample_weight is None else curved[:, c] * piece.sample_weight
        s = np.ascontiguousarray(s, raw.dtype)
        before = None if carried is None else carried[c]
        sums.append(engine_for(len(shift), backend).moments(piece.X, None, s, shift, n_threads, before))
    return np.stack(sums)


def _together(a: Floats, b: Floats) -> Floats:
    """The backends' second moments of rows here and rows there: sums, but for the largest row."""
    both = a + b
    both[:, 0] = np.maximum(a[:, 0], b[:, 0])
    return both


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
