"""Loss, gradient and Hessian of linear models in one pass over the rows, and the Newton step that follows from them.

Outputs are problems of their own, but for softmax's, which share their rows' probabilities. So a pass is over ``parts``: each
has its outputs, weights and, for mae and quantile, a width h over which the slope is smoothed:

    H = Σ s·ℓ''·zᵀz / Σs,   z = [x − μ, 1],   in the coordinates (w, b' = b + μ·w), in which weights and bias nearly part

With l2, H gets l2 on the weights' diagonal. The step minimises the model g·δ + ½·δᵀHδ + l1·‖w + δ‖₁ among the steps to weights
within their bounds; ``damping`` adds so many times the Hessian's bound to H, with which a step cannot raise the loss where it
is 1 or more.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.facts.lasso import lasso, solution
from gdcore.facts.metric import constant_columns
from gdcore.rows import sizes
from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.backends.backend import Backend
    from gdcore.losses import Loss
    from gdcore.penalty import Penalty
    from gdcore.rows.moments import Moments
    from gdcore.rows.tables import Piece, Table

_FEW = 0.25  # of the rows: fewer are copied together before their moments are made
_LITTLE = 1e-4  # damping
_LEFT = 1e-3  # of the terms of a slope: more of it left than the rounding of small Hessians and slopes makes
_EPS = float(np.finfo(np.float64).eps)


class Part(NamedTuple):
    """Outputs that are one problem, and where they stand."""

    outputs: tuple[int, ...]
    weights: Floats
    """(d, k) of these outputs."""
    bias: Floats | None
    smoothing: float = 0.0
    """h of mae and quantile."""
    stride: int = 1
    """H is of every so-manieth row; loss and gradient are of all. 0: no H is made, for it is known."""


class Local(NamedTuple):
    """What a pass tells of a part, penalties included."""

    objective: float
    smoothed: float
    """The objective with the smoothed loss, which the gradient is of."""
    gradient: Floats
    """(d, k)."""
    bias_gradient: Floats | None
    hessian: Floats
    """(k·p, k·p), p = d + 1 with a bias: output by output, the bias last."""
    histogram: Floats
    """The histogram of |r| (`gdcore.rows.sizes`); empty where slopes are not the same far off."""


class Step(NamedTuple):
    """What minimises the model of the objective."""

    delta: Floats
    """(k, p) in (w, b')."""
    gain: float
    """By so much it lowers the model."""
    bounded: bool
    """Whether the model without damping has a minimum."""


def measured(
    X: Array | Table, Y: Array | None, sample_weight: Array | None, n_threads: int, backend: str, loss: Loss,
    parts: list[Part], frame: Frame,
) -> list[Local]:  # fmt: skip
    """One pass over all rows, for every part."""
    pass_part = functools.partial(_sums, backend=backend, loss=loss, parts=parts, shift=frame.mean)
    flat = fold(X, Y, sample_weight, pass_part, n_threads)
    result, at = [], 0
    for part in parts:
        size = _size(part, loss)
        result.append(_local(flat[at : at + size], part, loss, frame))
        at += size
    return result


def loss_at(
    X: Array | Table, Y: Array | None, sample_weight: Array | None, n_threads: int, backend: str, loss: Loss,
    weights: Floats, bias: Floats | None,
) -> float:  # fmt: skip
    """The mean loss of all rows at some weights, in float64 whatever the rows are."""
    part = functools.partial(_losses, backend=backend, loss=loss, weights=weights, bias=bias)
    sums = fold(X, Y, sample_weight, part, n_threads)
    return float(sums[0] / sums[1])


class Frame:
    """What all passes of a fit have in common: the columns' means and spreads, penalties, and the Hessian's bound."""

    def __init__(self, moments: Moments, bias: bool, penalty: Penalty) -> None:
        self.bias, self.penalty = bias, penalty
        C, mean = moments.gram(bias)
        self.mean: Floats = mean
        """μ, which the weights' coordinates are about; zeros without a bias."""
        self.spread = np.maximum(np.diag(C), 0.0)
        self.constant = constant_columns(self.spread, mean)
        d = len(mean)
        self.plain = np.zeros((d + bias, d + bias))
        self.plain[:d, :d] = C
        self._still(self.plain)
        if bias:
            self.plain[d, d] = 1.0
        self.sizes: Floats = np.sqrt(self.spread + moments.mean**2)

    def _still(self, H: Floats) -> None:
        """What of a constant column's variance is rounding becomes 0."""
        H[:, np.flatnonzero(self.constant)] = 0
        H[np.flatnonzero(self.constant)] = 0

    def hessian(self, blocks: Floats) -> Floats:
        """(k, k, p, p) sums over rows divided by Σs → (k·p, k·p), with l2."""
        k, p = blocks.shape[0], blocks.shape[2]
        for row in blocks:
            for block in row:
                self._still(block)
        H = blocks.transpose(0, 2, 1, 3).reshape(k * p, k * p).copy()
        weights = np.tile(np.arange(p) < len(self.mean), k)
        H[weights, weights] += self.penalty.l2
        return H

    def bound(self, k: int, curvature: float) -> Floats:
        """c·ZᵀZ/n of k outputs, each by itself."""
        return np.asarray(np.kron(np.eye(k), curvature * self.plain), np.float64)

    def terms(self, weights: Floats, bias: Floats | None) -> float:
        """How large the terms are that a prediction is the sum of: its rounding is so many times ε."""
        size = float(np.sum(self.sizes @ np.abs(weights)))
        return size + (0.0 if bias is None else float(np.sum(np.abs(bias))))

    # The coordinates (w, b') -------------------------------------------------------------------------------------------------

    def slope(self, gradient: Floats, bias_gradient: Floats | None) -> Floats:
        """The gradient (k, p) with respect to (w, b')."""
        if bias_gradient is None:
            return gradient.T
        return np.column_stack([(gradient - np.outer(self.mean, bias_gradient)).T, bias_gradient])

    def away(self, delta: Floats) -> tuple[Floats, Floats | None]:
        """A step (k, p) in (w, b') as Δw (d, k) and Δb (k,)."""
        if not self.bias:
            return delta.T, None
        w = delta[:, :-1].T
        return w, delta[:, -1] - self.mean @ w

    def landed(self, weights: Floats, step: Floats) -> Floats:
        """Weights (d, k) after a whole step: what it takes to 0 by l1, or to a bound, is there, and not a rounding beside."""
        new = weights + step
        if self.penalty.l1 > 0:
            new = np.where(np.abs(new) <= 2 * _EPS * np.abs(step), 0.0, new)
        if self.penalty.box.closed:
            near = 2 * _EPS * (np.abs(weights) + np.abs(step))
            low, high = self.penalty.box.beside(new)
            new = np.where(new <= low + near, low, np.where(new >= high - near, high, new))
        return new

    def step(self, local: Local, weights: Floats, curvature: float, damping: float, backend: Backend) -> Step:
        """The step that minimises the model.

        Where the Hessian is 0 in a direction in which the gradient is not, the model has no minimum: the step then is one with
        a little damping.
        """
        with np.errstate(
            over="ignore", invalid="ignore", divide="ignore"
        ):  # far from the best weights: such a step is not taken
            return self._step(local, weights, curvature, damping, backend)

    def _step(self, local: Local, weights: Floats, curvature: float, damping: float, backend: Backend) -> Step:
        k = weights.shape[1]
        g = self.slope(local.gradient, local.bias_gradient).ravel()
        H = local.hessian + damping * self.bound(k, curvature) if damping else local.hessian
        if self.penalty.kinked:
            delta, gain = self._proximal(H, g, weights, backend)
        else:
            delta = -solution(H, g)
            gain = -float(g @ delta) - float(delta @ H @ delta) / 2
        if damping == 0 and self._unbounded(H, g, delta, weights, k):
            return self._step(local, weights, curvature, _LITTLE, backend)._replace(bounded=False)
        return Step(delta.reshape(k, -1), gain, True)

    def _unbounded(self, H: Floats, g: Floats, delta: Floats, weights: Floats, k: int) -> bool:
        """Whether the step leaves a slope that the Hessian does not reach."""
        left = g + H @ delta
        size = np.abs(H) @ np.abs(delta) + np.abs(g)
        if self.penalty.kinked:
            penalised = np.tile(np.arange(H.shape[0] // k) < len(self.mean), k)
            step = delta[penalised].reshape(k, -1).T
            there = self.landed(weights, step)
            left[penalised] = self.penalty.subgradient(there, left[penalised].reshape(k, -1).T).T.ravel()
            size[penalised] += self.penalty.l1
        moves = np.diag(self.bound(k, 1.0)) > 0
        return bool(np.any(np.abs(left[moves]) > _LEFT * size[moves]))

    def _proximal(self, H: Floats, g: Floats, weights: Floats, backend: Backend) -> tuple[Floats, float]:
        # The biases are free: they follow the weights, δb = −H_bb⁻¹(g_b + H_bw·δw), and the rest is a lasso within bounds.
        d, k = weights.shape
        penalised = np.tile(np.arange(d + self.bias) < d, k)
        w, b = np.flatnonzero(penalised), np.flatnonzero(~penalised)
        start, l1, box = weights.T.ravel(), self.penalty.l1, self.penalty.box.of_outputs(k)
        if l1 == 0:
            start, box = (
                np.zeros_like(start),
                box.about(start),
            )  # of what is added to the weights: digits are left near the end
        A, slope = H[np.ix_(w, w)], g[w]
        if len(b):
            cross = H[np.ix_(b, w)]
            follow = solution(H[np.ix_(b, b)], np.column_stack([cross, g[b]]))
            A, slope = A - cross.T @ follow[:, :-1], slope - cross.T @ follow[:, -1]
        A = np.ascontiguousarray((A + A.T) / 2)
        still = np.diag(A) <= 0
        # What H has is known to its rounding, and so what is left of it: without as much again on the diagonal A may be
        # indefinite, and its model without a minimum.
        A[np.diag_indices_from(A)] += 16 * len(H) * _EPS * np.where(still, 0.0, np.diag(H)[w])
        new = start.copy()
        new[still] = np.clip(0.0, box.low, box.high)[still]  # such a column adds nothing but its penalty
        lasso(A, A @ start - slope, new, l1, backend, box)
        delta = np.zeros(len(g))
        delta[w] = new - start
        if len(b):
            delta[b] = -(follow[:, :-1] @ delta[w] + follow[:, -1])
        penalty = l1 * float(np.sum(np.abs(new) - np.abs(start)))
        return delta, -float(g @ delta) - float(delta @ H @ delta) / 2 - penalty


# The pass -------------------------------------------------------------------------------------------------------------------


def _pairs(part: Part, loss: Loss) -> list[tuple[int, int]]:
    """Pairs of outputs whose Hessian blocks are made: of softmax all of them, else each with itself."""
    return loss.pairs(len(part.outputs)) if part.stride else []


def _size(part: Part, loss: Loss) -> int:
    d, k = len(part.weights), len(part.outputs)
    kinks = sizes.BINS if loss.flat else 0
    return 2 + k + k * d + 2 + kinks + len(_pairs(part, loss)) * (2 + d + d * d)


def _sums(piece: Piece, n_threads: int, *, backend: str, loss: Loss, parts: list[Part], shift: Floats) -> Floats:
    """Of a piece's rows, for every part: Σ s·ℓ, Σ s, Σ s·ℓ', Σ s·ℓ'·x; what smoothing adds; sizes of |r|; second moments."""
    kernel = BACKENDS[backend]
    X = piece.X.astype(np.float64, order="C") if piece.X.dtype != np.float64 else piece.X
    s = None if piece.sample_weight is None else piece.sample_weight.astype(np.float64)
    whole: list[Any] = []
    for part in parts:
        own = list(part.outputs) if loss.targets != "classes" else [0]
        Y = np.ascontiguousarray(piece.Y[:, own], np.float64)
        d, k = part.weights.shape
        whole.append(_first_sums(X, Y, s, n_threads, kernel, loss, part))
        if not part.stride:
            whole.append([0.0, 0.0])
            continue
        rows = slice(None, None, part.stride)
        x, y, weight = X[rows], Y[rows], None if s is None else s[rows]
        raw = np.empty((len(x), k))
        kernel.predict(x, part.weights, part.bias, raw, n_threads)
        if loss.flat:
            r = np.abs(raw - y)[:, 0]
            extra = loss.smoothing_adds(r, part.smoothing)
            ones = np.ones(len(r)) if weight is None else weight
            whole += [[ones.sum(), ones @ extra], sizes.counted(r, ones)]
        else:
            whole.append([float(len(x)) if weight is None else weight.sum(), 0.0])
        moments = kernel.moments
        second = loss.hessian(raw, y, part.smoothing)
        for a, b in _pairs(part, loss):
            c = second(a, b)
            c = c if weight is None else c * weight
            chosen = x
            if loss.flat and np.count_nonzero(c) < _FEW * len(c):
                some = np.flatnonzero(c)
                chosen, c = x[some], c[some]
            if len(c):
                whole.append(moments(chosen, None, np.ascontiguousarray(c), shift, n_threads))
            else:
                whole.append(np.zeros(2 + d + d * d))
    return np.concatenate(whole)


def _losses(
    piece: Piece, n_threads: int, *, backend: str, loss: Loss, weights: Floats, bias: Floats | None
) -> Floats:  # fmt: skip
    """Σ s·ℓ and Σ s of a piece's rows."""
    X, Y = (a.astype(np.float64, order="K", copy=False) for a in (piece.X, piece.Y))
    return BACKENDS[backend].partial(X, Y, weights, bias, piece.weights, n_threads, **loss.arguments)[:2]


def _first_sums(X: Array, Y: Array, s: Array | None, n_threads: int, kernel: Backend, loss: Loss, part: Part) -> Floats:
    """Σ s·ℓ, Σ s, Σ s·ℓ', Σ s·ℓ'·x of the smoothed slopes."""
    d, k = part.weights.shape
    inner, factor, smoothing = loss.smoothed(part.smoothing)
    sums = kernel.partial(X, Y, part.weights, part.bias, s, n_threads, **inner.arguments, smoothing=smoothing)[: 2 + k + k * d]
    return sums if factor == 1 else sums * np.where(np.arange(len(sums)) == 1, 1.0, factor)


def _local(sums: Floats, part: Part, loss: Loss, frame: Frame) -> Local:
    d, k = part.weights.shape
    total = sums[1]
    bias_gradient = sums[2 : 2 + k] / total
    gradient = (sums[2 + k : 2 + k + k * d] / total).reshape(k, d).T
    at = 2 + k + k * d
    counted, extra = sums[at : at + 2]
    at += 2
    histogram = np.zeros(0)
    if loss.flat:
        histogram = sums[at : at + sizes.BINS] / total
        at += sizes.BINS
    p = d + frame.bias
    blocks = np.zeros((k, k, p, p))
    for a, b in _pairs(part, loss):
        weight, first, squares = sums[at + 1], sums[at + 2 : at + 2 + d], sums[at + 2 + d : at + 2 + d + d * d].reshape(d, d)
        at += 2 + d + d * d
        squares = np.triu(squares)
        squares = squares + np.triu(squares, 1).T
        block = np.empty((p, p))
        block[:d, :d] = squares
        if frame.bias:
            block[:d, d] = block[d, :d] = first
            block[d, d] = weight
        blocks[a, b] = block / (counted if a == b else -counted)
        blocks[b, a] = blocks[a, b]
    if loss.targets == "classes":
        # What all classes have in common does not change the probabilities: of its slope all is rounding.
        gradient = gradient - gradient.mean(axis=1, keepdims=True)
        bias_gradient = bias_gradient - bias_gradient.mean()
    W = part.weights
    told, extra = float(sums[0] / total) + frame.penalty.value(W), float(extra / total)
    slopes_only = loss.smoothed(part.smoothing)[2] > 0  # the values that the pass told are then those of ℓ itself
    return Local(
        told if slopes_only else told - extra,
        told + extra if slopes_only else told,
        gradient + frame.penalty.l2 * W,
        bias_gradient if frame.bias else None,
        frame.hessian(blocks) if part.stride else frame.hessian(loss.bound() * frame.plain[None, None].copy()),
        histogram,
    )
