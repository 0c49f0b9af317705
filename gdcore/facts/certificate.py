"""Proofs by duality: how far a loss is from the best one, whatever the data are.

For every row of numbers α with ℓ*(α) finite, ℓ* the convex conjugate of ℓ, with Σ s·α = 0 where there is a bias, and with
v = −Σ s·α·x/Σs,

    objective(w) − best ≤ Σ s·(ℓ(η) + ℓ*(α) − α·η)/Σs + penalty(w) + penalty*(v) − v·w.

No term is negative. penalty* is (|v| − l1)₊²/(2·l2) with l2; with l1 alone it is 0 where |v| ≤ l1 and infinite else; without a
penalty it is 0 where v = 0 and infinite else. Bounds make it finite: there it is the supremum over the weights within them
(`gdcore.penalty.Penalty.excess`).

α are the slopes that a Newton step δ expects, α = ℓ'(η) + ℓ''(η)·zδ, z = x − μ and 1: as the step solves the model of the
objective, they satisfy every condition on v exactly, and the bound is quadratic in what is left. Where some α leave the domain
of ℓ* or v its bounds, all are multiplied by a number below 1: 0 satisfies every condition. The slopes of mae and quantile are
the smoothed ones, within h.

Rounding. All is computed in float64 whatever X is. No term of the first sum is below 0, so that it has its digits; predictions
are rounded as their terms x_j·w_j are, and what that may change at most, by the slopes' difference and by curvature, is added.
What v is beyond its bounds for rounding, up to 1e-11 of its terms, counts times the length of the step, which stands in for
that of w − w*, which is not known.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.facts.lasso import solution
from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.facts.curvature import Frame, Part
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece, Table

_EPS = float(np.finfo(np.float64).eps)
_PASSES = 4
_FAR = 0.1  # of a linear predictor: a step of Newton's method that moves a row so far near the end moves it for ever
_HARDLY = 1e-3
_TINY = 1e-12  # of the longest: a step of a weight that is rounding
_ZERO = 1e-11  # of the terms that v is the sum of: what v may be where it has to be 0


class Proof(NamedTuple):
    """At some weights."""

    gap: float | None
    """objective − best is at most this; None where the α do not satisfy the conditions."""
    objective: float
    rounding: float = 0.0
    """What of the gap allows for rounding."""
    separates: bool = False
    """Whether classes are separated: by the step, which moves no row away from its class and some far towards it, or by the
    weights themselves."""
    moves: bool = False
    """Whether the step moves some row far."""
    ceiling: float = np.inf
    """Another bound: the objective, where no loss is below 0."""


class _Sums(NamedTuple):
    """Of some rows."""

    total: float
    loss: float
    """Σ s·ℓ(η)."""
    gap: float
    """Σ s·(ℓ(η) + ℓ*(c·α) − c·α·η)."""
    rounding: float
    """Of that sum, where η is rounded as the terms are that it is the sum of."""
    slopes: Floats
    """Σ s·α (k,)."""
    squares: Floats
    """Σ s·α² (k,)."""
    products: Floats
    """Σ s·α·z (d, k)."""
    scale: float
    """The largest c ≤ 1 with c·α in the domain of ℓ* in all rows."""
    worst: float
    """The largest ℓ of a row; ∞ where one has no class to be on the side of."""
    towards: float
    away: float
    """How far the step moves a row at most towards its class, and away from it."""


def prove(
    X: Array | Table, Y: Array | None, sample_weight: Array | None, n_threads: int, loss: Loss,
    point: tuple[Floats, Floats | None], part: Part, delta: Floats, hessian: Floats, damping: float, frame: Frame,
) -> Proof:  # fmt: skip
    """The bound at ``point``, from the step ``delta`` (k, p) in (w, b') that Newton's method takes from ``part``.

    ``hessian`` is that of the step, damping included: what rounding has left of Σ s·α·z, where that shall be 0, another step
    takes away.
    """
    sums = functools.partial(_summed, loss=loss, point=point, part=part, damping=damping, mean=frame.mean, bias=frame.bias)
    scale, best = 1.0, Proof(None, np.inf)
    for _ in range(_PASSES):
        found: _Sums = fold(X, Y, sample_weight, functools.partial(sums, delta=delta, scale=scale), n_threads, _together)
        proof, wanted = _concluded(found, point[0], delta, scale, frame)
        far = max(found.towards, found.away) > _FAR
        separates = far and found.away <= _HARDLY * found.towards
        step = delta[:, : len(frame.mean)].T
        separates = separates and frame.penalty.box.recedes(np.where(np.abs(step) > _TINY * np.abs(step).max(), step, 0.0))
        if loss.undecided and frame.penalty.l1 == 0 and frame.penalty.l2 == 0 and frame.penalty.box.recedes(point[0]):
            separates = separates or found.worst < loss.undecided
        proof = proof._replace(separates=separates, moves=far, ceiling=proof.objective if loss.nonnegative else np.inf)
        if proof.gap is not None:
            proof = proof._replace(gap=min(proof.gap, proof.ceiling))
        if best.gap is None or (proof.gap is not None and proof.gap < best.gap):
            best = proof
        if proof.gap is not None and (not loss.kinked or proof.gap <= 4 * proof.rounding):
            break
        there = frame.landed(part.weights, delta[:, : len(frame.mean)].T)
        more = _more(found, point[0], there, hessian, frame, loss.kinked)
        if more is not None:
            delta = delta + more
        elif 0 < wanted < scale:
            scale = wanted
        else:
            break
    return best


def _more(found: _Sums, W: Floats, there: Floats, hessian: Floats, frame: Frame, steep: bool) -> Floats | None:
    """A step that makes Σ s·α·z what it has to be where rounding has left something else; None where it is.

    Weights that the step takes to a bound, ``there``, set no conditions. With ``steep`` slopes, which change within a small h,
    rounding shows in all weights: v shall then be the penalty's slope wherever that is known, and not only where it has to be.
    """
    left = found.products.T / found.total
    size, free = _sizes(found, frame).T, np.zeros(left.shape, bool)
    l1, l2, box = frame.penalty
    if l1 == 0 and l2 == 0:
        free[:] = True
    elif steep:
        left = left + (l2 * W + l1 * np.sign(W)).T
        free = (W != 0).T
    if box.closed:
        free &= (box.inside(there) & box.inside(W)).T if steep else box.inside(there).T
    if frame.bias:
        left = np.column_stack([left, found.slopes / found.total])
        size = np.column_stack([size, _steepness(found)])
        free = np.column_stack([free, np.ones(len(free), bool)])
    size = np.broadcast_to(size.max(axis=0), size.shape)
    if not np.any(np.abs(left[free]) > _ZERO * size[free]):
        return None
    places = np.flatnonzero(free.ravel())
    more = np.zeros(free.size)
    more[places] = -solution(hessian[np.ix_(places, places)], left.ravel()[places])
    return more.reshape(left.shape)


def _steepness(found: _Sums) -> Floats:
    """About the size of α (k,)."""
    result: Floats = np.sqrt(found.squares / found.total)
    return result


def _sizes(found: _Sums, frame: Frame) -> Floats:
    """What Σ s·|α|·|z|/Σs is at most (d, k), by the inequality of Cauchy and Schwarz: its rounding is so many times ε."""
    return np.outer(np.sqrt(frame.spread), _steepness(found))


def _objective(found: _Sums, W: Floats, frame: Frame) -> float:
    return found.loss / found.total + frame.penalty.value(W)


def _concluded(found: _Sums, W: Floats, delta: Floats, scale: float, frame: Frame) -> tuple[Proof, float]:
    """The proof, and the number that the α have to be multiplied by for it."""
    objective = _objective(found, W, frame)
    slopes, size = found.slopes, _sizes(found, frame)
    size = np.broadcast_to(size.max(axis=1, keepdims=True), size.shape)  # of the output that has most of it
    # What is left of Σ s·α is taken off each α, which changes Σ s·α·z by nothing, as Σ s·z = 0.
    if frame.bias and np.any(np.abs(slopes) > _ZERO * found.total * _steepness(found).max()):
        return Proof(None, objective), 1.0
    v = -found.products / found.total
    (l1, l2, box), wanted = frame.penalty, found.scale
    low, high = box.beside(v)
    endless = ((v > 0) & np.isinf(high)) | ((v < 0) & np.isinf(low))  # no bound ends what such a v gains
    if l2 == 0 and np.any(endless & (np.abs(scale * v) > l1 + _ZERO * size)):
        wanted = min(wanted, l1 / float(np.max(np.abs(v), where=endless, initial=0.0)))
    if not wanted > 0:
        return Proof(None, objective), 1.0
    if wanted < scale:
        return Proof(None, objective), wanted * (1 - 4 * _EPS)
    v = scale * v
    rounding = found.rounding / found.total + 8 * _EPS * float(np.sum(np.abs(W) * size))
    if l2 == 0:
        # What rounding has left beyond what is possible without l2, or beyond what a bound makes of it, is held back.
        w_step = delta[:, :-1].T if frame.bias else delta.T
        held = np.where(endless | (np.abs(v) <= l1 + _ZERO * size), np.clip(v, -l1, l1), v)
        rounding += float(np.sum(np.abs(v - held) * (np.abs(w_step) + _EPS * np.abs(W))))
        v = held
    rest = float(np.sum(frame.penalty.excess(W, v)))
    gap = found.gap / found.total + max(rest, 0.0) + rounding
    return Proof(gap if np.isfinite(gap) else None, objective, rounding), scale


def _together(a: _Sums, b: _Sums) -> _Sums:
    return _Sums(
        a.total + b.total,
        a.loss + b.loss,
        a.gap + b.gap,
        a.rounding + b.rounding,
        a.slopes + b.slopes,
        a.squares + b.squares,
        a.products + b.products,
        min(a.scale, b.scale),
        max(a.worst, b.worst),
        max(a.towards, b.towards),
        max(a.away, b.away),
    )


def _summed(
    piece: Piece, n_threads: int, *, loss: Loss, point: tuple[Floats, Floats | None], part: Part, delta: Floats,
    damping: float, mean: Floats, bias: bool, scale: float,
) -> _Sums:  # fmt: skip
    own = list(part.outputs) if loss.targets != "classes" else [0]
    y = np.ascontiguousarray(piece.Y[:, own], np.float64)
    s = piece.weights
    z = np.subtract(piece.X, mean, order="C", dtype=np.float64)  # in one memory order, for the same bits
    used = s > 0
    if not used.all():
        z, y, s = z[used], y[used], s[used]
    W, b = point
    k = W.shape[1]
    step, lift = (delta[:, :-1].T, delta[:, -1]) if bias else (delta.T, 0.0)
    # η = x·W + b = z·W + b',  b' = b + μ·W
    ahead = z @ np.column_stack([part.weights, step, W])
    before: Floats = ahead[:, :k] + (mean @ part.weights + (0.0 if part.bias is None else part.bias))
    eta: Floats = ahead[:, 2 * k :] + (mean @ W + (0.0 if b is None else b))
    step_ahead = ahead[:, k : 2 * k] + lift
    dual = loss.dual(before, step_ahead, y, damping, part.smoothing)
    values, steep = loss.value_slope(eta, y)
    worst = values.sum(axis=1).max(initial=0.0)
    no_class = loss.undecidable(y)
    if no_class is not None and no_class.any():
        worst = np.inf
    value, terms = values.sum(axis=1), loss.excess(eta, loss.scaled(dual, y, scale), y)
    # A row's terms are at most ‖x‖·‖W‖.
    size = np.sqrt(np.einsum("ij,ij->i", z, z))[:, None] * np.sqrt(np.sum(W * W, axis=0)) + np.abs(mean) @ np.abs(W)
    size += 0.0 if b is None else np.abs(b)
    error = (len(W) + 2) * _EPS * size  # of η
    weighted = s[:, None] * dual.alpha
    return _Sums(
        float(s.sum()),
        float(s @ value),
        float(s @ terms),
        float(s @ (np.abs(steep - scale * dual.alpha) * error + loss.bend(eta, y, part.smoothing) / 2 * error**2).sum(axis=1)),
        weighted.sum(axis=0),
        np.sum(weighted * dual.alpha, axis=0),
        z.T @ weighted,
        dual.room,
        float(worst),
        *loss.push(step_ahead, y),
    )
