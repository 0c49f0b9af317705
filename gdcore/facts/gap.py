"""Bounds on loss − best loss at any weights, where the descent has ended or not.

mse without l1: the loss is a quadratic with Hessian H, so loss − best = ½·∇ᵀH⁻¹∇ exactly. All others:
`gdcore.facts.certificate` at the weights, with the step that Newton's method would take; and far from the best weights, where
that proves nothing, `duality_gap` for huber, logistic and softmax with l2: slopes ∂ℓ/∂ŷ that add up to 0 by as little of
something else as that takes. Near the best weights they are taken at a bias moved by a Newton step.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.facts import certificate
from gdcore.facts.certificate import divergence, shares, sigmoid
from gdcore.facts.curvature import Frame, Part, measured
from gdcore.rows import sizes
from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.facts.metric import Metric
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece, Table


_NEAR = 1e-8
_ROOM = 4.0  # times ε of the terms of a prediction, and its square of the loss
_EPS = float(np.finfo(np.float64).eps)


def subgradient(weights: Array, gradient: Array, l1: float) -> Floats:
    """The smallest subgradient: ∇ + l1·sign(w), or ∇ shrunk by l1 where w = 0."""
    g = gradient.astype(np.float64)
    if l1 > 0:
        g = np.where(weights == 0, np.sign(g) * np.maximum(np.abs(g) - l1, 0), g + l1 * np.sign(weights))
    return g


def bound(problem: Any, weights: Array, bias: Array | None, anchors: list[Part] | None = None) -> float | None:
    """The smallest bound that is found for all outputs together; None where one has none.

    ``anchors`` are where a descent stood when it ended, whose slopes prove most; None: it is looked for at the weights.
    """
    loss = problem.loss_function
    frame = Frame(problem.moments.of_columns(), bias is not None, problem.l1, problem.l2)
    rows = (problem.X, problem.Y, problem.sample_weight, problem.n_threads)
    W, b = weights.astype(np.float64), None if bias is None else bias.astype(np.float64)
    everything = [tuple(range(W.shape[1]))] if loss.targets == "classes" else [(c,) for c in range(W.shape[1])]
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for i, outputs in enumerate(everything):
            own = list(outputs)
            point = W[:, own], None if b is None else b[own]
            here = Part(outputs, *point)
            if anchors is not None:
                starts = [anchors[i]]
            elif loss.curvature is None:
                [local] = measured(*rows, problem.options.backend, loss, [here._replace(smoothing=1.0)], frame)
                starts = [here._replace(smoothing=sizes.width_of_share(local.histogram, share)) for share in (0.5, 0.1, 0.02)]
            else:
                starts = [here]
            found = []
            for start in starts:
                [local] = measured(*rows, problem.options.backend, loss, [start], frame)
                for damping in (0.0, 1.0):
                    curvature = loss.bound(start.smoothing)
                    step = frame.step(local, start.weights, curvature, damping, problem.backend)
                    H = local.hessian + damping * frame.bound(len(own), curvature)
                    proof = certificate.prove(*rows, loss, point, start, step.delta, H, damping, frame)
                    if loss.targets != "real":
                        found.append(proof.objective)  # no loss is below 0, which separated classes come near
                    if proof.gap is not None:
                        found.append(proof.gap)
                        break
            if not found:
                return None
            total += min(found)
    return total


def rounded_up(problem: Any, found: float, loss: float, weights: Array, bias: Array | None) -> float:
    """A gap of mse with room for how predictions are rounded: ε of their terms, which are large for columns far from 0.

    It is at most the loss, for no loss is below 0.
    """
    frame = Frame(problem.moments.of_columns(), bias is not None, problem.l1, problem.l2)
    terms = frame.terms(weights.astype(np.float64), None if bias is None else bias.astype(np.float64))
    room = _ROOM * _EPS * terms
    return min(float((np.sqrt(found) + room) ** 2), max(loss, found))


def decrement(metric: Metric, weights: Array, gradient: Array, bias_gradient: Array | None, l1: float) -> float:
    """½·∇ᵀH⁻¹∇: for mse the gap, for other losses what the metric makes of the gradient."""
    g = subgradient(weights, gradient, l1)
    along, bias_along = metric.step(g, bias_gradient)
    total = float(np.sum(g * along))
    if bias_gradient is not None and bias_along is not None:
        total += float(np.sum(bias_gradient * bias_along))
    return max(total, 0.0) / 2


def duality_gap(
    X: Array | Table,
    Y: Array,
    weights: Array,
    bias: Array | None,
    sample_weight: Array | None,
    n_threads: int,
    loss: Loss,
    l1: float,
    l2: float,
    bias_gradient: Array | None,
) -> float | None:
    """The bound for huber, logistic and softmax with l2 > 0, by one pass more; None where it proves nothing."""
    if l2 <= 0 or loss.name not in _PAIRS:
        return None
    mean = None if bias_gradient is None else bias_gradient.astype(np.float64)
    rows = functools.partial(fold, X, Y, sample_weight, n_threads=n_threads)
    at = functools.partial(functools.partial, weights=weights, bias=bias, loss=loss)
    mix = _Mix(rows, loss, mean)
    if mean is not None and 0 < mix.share < _NEAR:
        mix.move(_balancing(rows(part=at(_curvature)), mean))
    found = rows(part=at(_conjugates, mix=mix))
    d, k = weights.shape
    first, total, slope = float(found[0]), float(found[1]), found[2 : 2 + k]
    products = found[2 + k :].reshape(d, k + 1)
    sums, centre = products[:, :k], products[:, k:]
    if mean is not None:
        # What is left of Σ s·α is taken off each α: columns far from 0 would make much of it.
        sums = sums - centre * slope / total
    w, v = weights.astype(np.float64), -sums / total
    shrunk = np.sign(v) * np.maximum(np.abs(v) - l1, 0)
    second = float(np.sum((l2 * w - shrunk) ** 2)) / (2 * l2) + float(np.sum(l1 * np.abs(w) - w * (v - shrunk)))
    gap = first / total + second
    return gap if np.isfinite(gap) else None


def _predicted(piece: Piece, n_threads: int, weights: Array, bias: Array | None) -> tuple[Array, Floats]:
    """Ŷ of a piece's rows, and their weights."""
    raw = np.empty((len(piece.X), weights.shape[1]), weights.dtype)
    BACKENDS["kernel"].predict(piece.X, weights, bias, raw, n_threads)
    return raw, np.ones(len(raw)) if piece.sample_weight is None else piece.sample_weight.astype(np.float64)


def _conjugates(piece: Piece, n_threads: int, *, weights: Array, bias: Array | None, loss: Loss, mix: _Mix) -> Floats:
    """Σ s·(ℓ(ŷ) + ℓ*(α) − α·ŷ), Σ s, Σ s·α (k,), Σ s·xᵀ[α, 1] (d, k + 1)."""
    raw, s = _predicted(piece, n_threads, weights, bias)
    terms, alpha = _PAIRS[loss.name](raw.astype(np.float64), piece.Y, loss.parameter, mix)
    products = piece.X.T @ np.column_stack([s[:, None] * alpha, s]).astype(weights.dtype)
    return np.concatenate([[s @ terms, s.sum()], s @ alpha, products.ravel()])


def _curvature(piece: Piece, n_threads: int, *, weights: Array, bias: Array | None, loss: Loss) -> Floats:
    """Σ s, Σ s·∂²ℓ/∂ŷ² (k, k)."""
    raw, s = _predicted(piece, n_threads, weights, bias)
    if loss.name == "softmax":
        e = np.exp(raw - raw.max(axis=1, keepdims=True)).astype(np.float64)
        p = e / e.sum(axis=1, keepdims=True)
        hessian = np.diag(s @ p) - p.T @ (s[:, None] * p)
    else:
        second = loss.second(raw.astype(np.float64), piece.Y)
        hessian = np.diag([float(s @ second(c, c)) for c in range(raw.shape[1])])
    return np.concatenate([[s.sum()], hessian.ravel()])


def _balancing(sums: Floats, mean: Floats) -> Floats:
    """What added to the bias makes ∇b 0, to second order: a Newton step of the bias alone, from the sums of `_curvature`."""
    hessian = sums[1:].reshape(len(mean), len(mean)) / sums[0]
    step: Floats = -np.linalg.pinv(hessian, rcond=1e-12, hermitian=True) @ mean
    return step


def _labels(piece: Piece, n_threads: int, *, classes: int, loss: Loss) -> Floats:
    """Σ s, and for each class, or each output, Σ s of the rows that have it."""
    s = np.ones(len(piece.Y)) if piece.sample_weight is None else piece.sample_weight.astype(np.float64)
    if loss.name == "softmax":
        labels: Array = np.bincount(piece.Y[:, 0].astype(np.intp), weights=s, minlength=classes)
    else:
        labels = np.asarray(s @ piece.Y)
    return np.concatenate([[s.sum()], labels])


class _Mix:
    """(1 − share)·slope + share·other: slopes whose mean is 0 although that of the given ones is ``mean``."""

    def __init__(self, rows: Callable[..., Any], loss: Loss, mean: Floats | None) -> None:
        self.share, self.other, self.shift = 0.0, np.zeros(1), np.zeros(1)
        if mean is None or not mean.any():
            return
        if loss.name == "huber":
            # other: the constant against the mean, within [−δ, δ]
            self.share = float(np.max(np.abs(mean) / (np.abs(mean) + loss.parameter)))
            self.other = -mean * (1 - self.share) / self.share
            return
        # Probabilities p with mean m shall have the mean t of the labels: mixed with q = (t − (1 − share)·m)/share, which is
        # not negative where share is at least 1 − t/m.
        sums = rows(part=functools.partial(_labels, classes=len(mean), loss=loss))
        labels = sums[1:] / sums[0]
        if loss.name == "softmax":
            present = mean + labels
            self.share = float(np.clip(np.max(1 - labels / np.maximum(present, 1e-300)), 0, 1))
            if self.share < 4 * _EPS:
                self.share = 0.0  # what is left of the mean is rounding
                return
            self.share = min(1.0, self.share * (1 + 1e-12))
            self.other = np.maximum(labels - (1 - self.share) * present, 0) / self.share
            self.other /= self.other.sum()
        else:
            present = mean + labels
            share = np.maximum(1 - labels / np.maximum(present, 1e-300), 1 - (1 - labels) / np.maximum(1 - present, 1e-300))
            self.share = min(1.0, float(np.clip(np.max(share), 0, 1)) * (1 + 1e-12))
            if self.share < 4 * _EPS:
                self.share = 0.0
                return
            self.other = np.clip((labels - (1 - self.share) * present) / self.share, 0, 1)

    def move(self, shift: Floats) -> None:
        """Slopes at predictions moved by so much, instead of mixed ones."""
        self.share, self.shift = 0.0, shift


def _huber(raw: Floats, Y: Array, delta: float, mix: _Mix) -> tuple[Floats, Floats]:
    # ℓ*(α) = ½α² + α·y for |α| ≤ δ;  ℓ + ℓ* − α·ŷ = ½(α − r)² where |r| ≤ δ, else (c − α)(r − ½(c + α)), c = clip(r)
    r = raw - Y
    clipped = np.clip(r, -delta, delta)
    alpha = (1 - mix.share) * np.clip(r + mix.shift, -delta, delta) + mix.share * mix.other
    terms = np.where(np.abs(r) <= delta, (alpha - r) ** 2 / 2, (clipped - alpha) * (r - (clipped + alpha) / 2))
    return terms.sum(axis=1), alpha


def _logistic(raw: Floats, Y: Array, _: float, mix: _Mix) -> tuple[Floats, Floats]:
    # ℓ*(α) = p·log p + (1 − p)·log(1 − p), p = α + y;  ℓ + ℓ* − α·ŷ is the divergence of p from σ(ŷ)
    p, rest = sigmoid(raw), sigmoid(-raw)
    moved, moved_rest = (sigmoid(raw + mix.shift), sigmoid(-raw - mix.shift)) if mix.shift.any() else (p, rest)
    mixed = moved + mix.share * (mix.other - moved)
    mixed_rest = moved_rest + mix.share * (1 - mix.other - moved_rest)
    smaller = np.log1p(np.exp(-np.abs(raw)))
    terms = divergence(mixed, p, np.minimum(raw, 0) - smaller) + divergence(mixed_rest, rest, np.minimum(-raw, 0) - smaller)
    return terms.sum(axis=1), mixed - Y


def _softmax(raw: Floats, Y: Array, _: float, mix: _Mix) -> tuple[Floats, Floats]:
    # ℓ*(α) = Σ p·log p, p = α + onehot(y);  ℓ + ℓ* − α·ŷ is the divergence of p from softmax(ŷ)
    p = shares(raw)
    moved = shares(raw + mix.shift) if mix.shift.any() else p
    mixed = moved + mix.share * (mix.other - moved) if mix.share else moved
    alpha = mixed.copy()
    alpha[np.arange(len(Y)), Y[:, 0].astype(np.intp)] -= 1
    top = raw.max(axis=1, keepdims=True)
    log_p = raw - top - np.log(np.exp(raw - top).sum(axis=1, keepdims=True))
    return divergence(mixed, p, log_p).sum(axis=1), alpha


_PAIRS = {"huber": _huber, "logistic": _logistic, "softmax": _softmax}
