"""Bounds on loss − best loss at any weights, where the descent has ended or not.

mse without l1 and bounds: the loss is a quadratic with Hessian H, so loss − best = ½·∇ᵀH⁻¹∇ exactly. All others:
`gdcore.facts.certificate` at the weights, with the step that Newton's method would take; and far from the best weights, where
that proves nothing, `duality_gap` for huber, logistic and softmax with l2: slopes ∂ℓ/∂ŷ that add up to 0 by as little of
something else as that takes. Near the best weights they are taken at a bias moved by a Newton step.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.facts import certificate
from gdcore.facts.curvature import Part, measured
from gdcore.losses.duals import Mix
from gdcore.rows import sizes
from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.backends.backend import Backend
    from gdcore.facts.curvature import Frame
    from gdcore.facts.metric import Metric
    from gdcore.losses import Loss
    from gdcore.penalty import Penalty
    from gdcore.rows.tables import Piece


class Measured(Protocol):
    """Of a problem what proofs ask for."""

    @property
    def X(self) -> Any: ...
    @property
    def Y(self) -> Any: ...
    @property
    def sample_weight(self) -> Array | None: ...
    @property
    def n_threads(self) -> int: ...
    @property
    def backend_name(self) -> str: ...
    @property
    def backend(self) -> Backend: ...
    @property
    def loss_function(self) -> Loss: ...
    @property
    def penalty(self) -> Penalty: ...
    @property
    def frame(self) -> Frame: ...


_NEAR = 1e-8
_ROOM = 4.0  # times ε of the terms of a prediction, and its square of the loss
_EPS = float(np.finfo(np.float64).eps)


class Bound(NamedTuple):
    """loss − best loss is at most so much."""

    value: float
    proof: str
    """By what, in a word: `SQUARES`, `DUALITY`, `CONVEXITY`, `VERTEX` or `NONNEGATIVE`."""


SQUARES = "least squares"
"""The loss is a quadratic, whose Hessian is known: loss − best = ½·∇ᵀH⁻¹∇."""
DUALITY = "duality"
"""Slopes of the rows bound the best loss from below."""
CONVEXITY = "strong convexity"
"""l2 bends the objective: loss − best ≤ ‖∇‖²/(2·l2)."""
VERTEX = "vertex"
"""mae or quantile passes through as many rows as there are weights, and a dual solution has the value of the loss."""
NONNEGATIVE = "no loss is below 0"
"""What is left of the loss is all that there is."""


def bound(problem: Measured, weights: Array, bias: Array | None, anchors: list[Part] | None = None) -> Bound | None:
    """The smallest bound that is found for all outputs together; None where one has none.

    ``anchors`` are where a descent stood when it ended, whose slopes prove most; None: it is looked for at the weights.
    """
    loss = problem.loss_function
    if not loss.has_conjugate:
        return None
    frame, rows = problem.frame, (problem.X, problem.Y, problem.sample_weight, problem.n_threads)
    W, b = weights.astype(np.float64), None if bias is None else bias.astype(np.float64)
    everything = [tuple(range(W.shape[1]))] if loss.targets == "classes" else [(c,) for c in range(W.shape[1])]
    total, proof_of_all = 0.0, NONNEGATIVE
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for i, outputs in enumerate(everything):
            own = list(outputs)
            point = W[:, own], None if b is None else b[own]
            here = Part(outputs, *point)
            if anchors is not None:
                starts = [anchors[i]]
            elif loss.kinked:
                [local] = measured(*rows, problem.backend_name, loss, [here._replace(smoothing=1.0)], frame)
                starts = [here._replace(smoothing=sizes.width_of_share(local.histogram, share)) for share in (0.5, 0.1, 0.02)]
            else:
                starts = [here]
            found, ceiling = [], np.inf
            for start in starts:
                [local] = measured(*rows, problem.backend_name, loss, [start], frame)
                for damping in (0.0, 1.0):
                    curvature = loss.bound(start.smoothing)
                    step = frame.step(local, start.weights, curvature, damping, problem.backend)
                    H = local.hessian + damping * frame.bound(len(own), curvature)
                    proof = certificate.prove(*rows, loss, point, start, step.delta, H, damping, frame)
                    ceiling = min(ceiling, proof.ceiling)
                    if not loss.numeric and loss.nonnegative:
                        found.append(proof.objective)  # no loss is below 0, which separated classes come near
                    if proof.gap is not None:
                        found.append(proof.gap)
                        break
            if not found:
                return None
            total += min(found)
            if min(found) < ceiling:
                proof_of_all = DUALITY
    return Bound(total, proof_of_all)


def rounded_up(problem: Measured, found: float, loss: float, weights: Array, bias: Array | None) -> float:
    """A gap of mse with room for how predictions are rounded: ε of their terms, which are large for columns far from 0.

    It is at most the loss, for no loss is below 0.
    """
    terms = problem.frame.terms(weights.astype(np.float64), None if bias is None else bias.astype(np.float64))
    room = _ROOM * _EPS * terms
    return min(float((np.sqrt(found) + room) ** 2), max(loss, found))


def decrement(metric: Metric, weights: Array, gradient: Array, bias_gradient: Array | None, penalty: Penalty) -> float:
    """½·∇ᵀH⁻¹∇: for mse without l1 and bounds the gap, else what the metric makes of the smallest subgradient."""
    g = penalty.subgradient(weights, gradient)
    along, bias_along = metric.step(g, bias_gradient)
    total = float(np.sum(g * along))
    if bias_gradient is not None and bias_along is not None:
        total += float(np.sum(bias_gradient * bias_along))
    return max(total, 0.0) / 2


def duality_gap(problem: Measured, weights: Array, bias: Array | None, bias_gradient: Array | None) -> float | None:
    """The bound for losses that mix slopes, with l2 > 0, by a pass or some; None where it proves nothing."""
    loss, penalty = problem.loss_function, problem.penalty
    if penalty.l2 <= 0 or not loss.mixes:
        return None
    mean = None if bias_gradient is None else bias_gradient.astype(np.float64)
    rows = functools.partial(fold, problem.X, problem.Y, problem.sample_weight, n_threads=problem.n_threads)
    at = functools.partial(functools.partial, weights=weights, bias=bias, loss=loss)
    mix = Mix()
    if mean is not None and mean.any():
        shares = np.zeros(len(mean))
        if not loss.numeric:
            labels = rows(part=functools.partial(_labels, loss=loss, classes=len(mean)))
            shares = labels[1:] / labels[0]
        mix = loss.mixture(mean, shares)
        if 0 < mix.share < _NEAR:
            mix = Mix(shift=_balancing(rows(part=at(_curvature)), mean))
    found = rows(part=at(_conjugates, mix=mix))
    d, k = weights.shape
    first, total, slope = float(found[0]), float(found[1]), found[2 : 2 + k]
    products = found[2 + k :].reshape(d, k + 1)
    sums, centre = products[:, :k], products[:, k:]
    if mean is not None:
        # What is left of Σ s·α is taken off each α: columns far from 0 would make much of it.
        sums = sums - centre * slope / total
    gap = first / total + float(np.sum(penalty.excess(weights.astype(np.float64), -sums / total)))
    return gap if np.isfinite(gap) else None


def _predicted(piece: Piece, n_threads: int, weights: Array, bias: Array | None) -> tuple[Array, Floats]:
    """Ŷ of a piece's rows, and their weights."""
    raw = np.empty((len(piece.X), weights.shape[1]), weights.dtype)
    BACKENDS["kernel"].predict(piece.X, weights, bias, raw, n_threads)
    return raw, piece.weights


def _conjugates(piece: Piece, n_threads: int, *, weights: Array, bias: Array | None, loss: Loss, mix: Mix) -> Floats:
    """Σ s·(ℓ(ŷ) + ℓ*(α) − α·ŷ), Σ s, Σ s·α (k,), Σ s·xᵀ[α, 1] (d, k + 1)."""
    raw, s = _predicted(piece, n_threads, weights, bias)
    dual = loss.mixed(raw.astype(np.float64), piece.Y, mix)
    terms = loss.excess(raw.astype(np.float64), dual, piece.Y)
    products = piece.X.T @ np.column_stack([s[:, None] * dual.alpha, s]).astype(weights.dtype)
    return np.concatenate([[s @ terms, s.sum()], s @ dual.alpha, products.ravel()])


def _curvature(piece: Piece, n_threads: int, *, weights: Array, bias: Array | None, loss: Loss) -> Floats:
    """Σ s, Σ s·∂²ℓ/∂ŷ² (k, k)."""
    raw, s = _predicted(piece, n_threads, weights, bias)
    return np.concatenate([[s.sum()], loss.summed_second(raw.astype(np.float64), piece.Y, s).ravel()])


def _balancing(sums: Floats, mean: Floats) -> Floats:
    """What added to the bias makes ∇b 0, to second order: a Newton step of the bias alone, from the sums of `_curvature`."""
    hessian = sums[1:].reshape(len(mean), len(mean)) / sums[0]
    step: Floats = -np.linalg.pinv(hessian, rcond=1e-12, hermitian=True) @ mean
    return step


def _labels(piece: Piece, n_threads: int, *, classes: int, loss: Loss) -> Floats:
    """Σ s, and for each class, or each output, Σ s of the rows that have it."""
    s = piece.weights
    if loss.targets == "classes":
        labels: Array = np.bincount(piece.Y[:, 0].astype(np.intp), weights=s, minlength=classes)
    else:
        labels = np.asarray(s @ piece.Y)
    return np.concatenate([[s.sum()], labels])
