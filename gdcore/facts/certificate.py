"""Proofs by duality: how far a loss is from the best one, whatever the data are.

For every row of numbers α with ℓ*(α) finite, ℓ* the convex conjugate of ℓ, with Σ s·α = 0 where there is a bias, and with
v = −Σ s·α·x/Σs,

    objective(w) − best ≤ Σ s·(ℓ(η) + ℓ*(α) − α·η)/Σs + penalty(w) + penalty*(v) − v·w.

No term is negative. penalty* is (|v| − l1)₊²/(2·l2) with l2; with l1 alone it is 0 where |v| ≤ l1 and infinite else; without a
penalty it is 0 where v = 0 and infinite else.

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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.facts.lasso import solution
from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Floats
    from gdcore.facts.curvature import Frame, Part
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece

_EPS = float(np.finfo(np.float64).eps)
_PASSES = 4
_FAR = 0.1  # of a linear predictor: a step of Newton's method that moves a row so far near the end moves it for ever
_HARDLY = 1e-3
_LEAST = 1e-9  # of a probability: what a step leaves of one that it takes to 0 is rounding
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
    """The largest ℓ of a row."""
    towards: float
    away: float
    """How far the step moves a row at most towards its class, and away from it."""


def prove(
    X: Any, Y: Any, sample_weight: Any, n_threads: int, loss: Loss, point: tuple[Floats, Floats | None], part: Part,
    delta: Floats, hessian: Floats, damping: float, frame: Frame,
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
        if loss.targets != "real" and frame.l1 == 0 and frame.l2 == 0:
            separates = separates or found.worst < np.log(2)  # every row's class has more than half of the probability
        proof = proof._replace(separates=separates, moves=far)
        if best.gap is None or (proof.gap is not None and proof.gap < best.gap):
            best = proof
        if proof.gap is not None and (loss.curvature is not None or proof.gap <= 4 * proof.rounding):
            break
        more = _more(found, point[0], hessian, frame, loss.curvature is None)
        if more is not None:
            delta = delta + more
        elif 0 < wanted < scale:
            scale = wanted
        else:
            break
    return best


def _more(found: _Sums, W: Floats, hessian: Floats, frame: Frame, steep: bool) -> Floats | None:
    """A step that makes Σ s·α·z what it has to be where rounding has left something else; None where it is.

    With ``steep`` slopes, which change within a small h, rounding shows in all weights: v shall then be the penalty's slope
    wherever that is known, and not only where it has to be.
    """
    left = found.products.T / found.total
    size, free = _sizes(found, frame).T, np.zeros(left.shape, bool)
    if frame.l1 == 0 and frame.l2 == 0:
        free[:] = True
    elif steep:
        left = left + (frame.l2 * W + frame.l1 * np.sign(W)).T
        free = (W != 0).T
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
    return found.loss / found.total + frame.penalty(W)


def _concluded(found: _Sums, W: Floats, delta: Floats, scale: float, frame: Frame) -> tuple[Proof, float]:
    """The proof, and the number that the α have to be multiplied by for it."""
    objective = _objective(found, W, frame)
    slopes, size = found.slopes, _sizes(found, frame)
    size = np.broadcast_to(size.max(axis=1, keepdims=True), size.shape)  # of the output that has most of it
    # What is left of Σ s·α is taken off each α, which changes Σ s·α·z by nothing, as Σ s·z = 0.
    if frame.bias and np.any(np.abs(slopes) > _ZERO * found.total * _steepness(found).max()):
        return Proof(None, objective), 1.0
    v = -found.products / found.total
    l1, l2 = frame.l1, frame.l2
    wanted = found.scale
    if l2 == 0 and np.any(np.abs(scale * v) > l1 + _ZERO * size):
        wanted = min(wanted, l1 / float(np.max(np.abs(v))))
    if not wanted > 0:
        return Proof(None, objective), 1.0
    if wanted < scale:
        return Proof(None, objective), wanted * (1 - 4 * _EPS)
    v = scale * v
    held = np.clip(v, -l1, l1)  # what rounding has left beyond what is possible without l2 is held back
    rounding = found.rounding / found.total + 8 * _EPS * float(np.sum(np.abs(W) * size))
    if l2 > 0:
        shrunk = np.sign(v) * np.maximum(np.abs(v) - l1, 0)
        rest = float(np.sum((l2 * W - shrunk) ** 2)) / (2 * l2) + float(np.sum(l1 * np.abs(W) - W * (v - shrunk)))
    else:
        w_step = delta[:, :-1].T if frame.bias else delta.T
        rest = float(np.sum(l1 * np.abs(W) - W * held)) if l1 > 0 else 0.0
        rounding += float(np.sum(np.abs(v - held) * (np.abs(w_step) + _EPS * np.abs(W))))
    gap = found.gap / found.total + max(rest, 0.0) + rounding
    return Proof(min(gap, objective) if np.isfinite(gap) else None, objective, rounding), scale


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
    s = np.ones(len(y)) if piece.sample_weight is None else piece.sample_weight.astype(np.float64)
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
    dual = _DUALS[loss.name](before, ahead[:, k : 2 * k] + lift, y, loss.parameter, part.smoothing, damping)
    value, terms, steep = dual.at(eta, y, scale)
    # A row's terms are at most ‖x‖·‖W‖.
    size = np.sqrt(np.einsum("ij,ij->i", z, z))[:, None] * np.sqrt(np.sum(W * W, axis=0)) + np.abs(mean) @ np.abs(W)
    size += 0.0 if b is None else np.abs(b)
    error = (len(W) + 2) * _EPS * size  # of η
    weighted = s[:, None] * dual.alpha
    return _Sums(
        float(s.sum()),
        float(s @ value),
        float(s @ terms),
        float(s @ (np.abs(steep - scale * dual.alpha) * error + loss.bound(part.smoothing) / 2 * error**2).sum(axis=1)),
        weighted.sum(axis=0),
        np.sum(weighted * dual.alpha, axis=0),
        z.T @ weighted,
        dual.largest(),
        float(value.max(initial=0.0)),
        *dual.push,
    )


class _Dual(NamedTuple):
    """α of some rows, and what their loss makes of them."""

    alpha: Floats
    at: Callable[[Floats, Floats, float], tuple[Floats, Floats, Floats]]
    """Of η, y and c: ℓ(η) (n,), ℓ(η) + ℓ*(c·α) − c·α·η (n,), ℓ'(η) (n, k)."""
    largest: Callable[[], float]
    """The largest c ≤ 1 with c·α in the domain."""
    push: tuple[float, float] = (0.0, 0.0)
    """How far the step moves a row at most towards its class, and away from it."""


def _within(alpha: Floats, low: float, high: float) -> float:
    """The largest c ≤ 1 with low ≤ c·α ≤ high, low < 0 < high."""
    top, bottom = float(alpha.max(initial=0.0)), float(alpha.min(initial=0.0))
    return min(1.0, high / top if top > high else 1.0, low / bottom if bottom < low else 1.0)


def _mse(before: Floats, ahead: Floats, y: Floats, _: float, __: float, damping: float) -> _Dual:
    # ℓ*(α) = α²/4 + αy;  ℓ + ℓ* − αη = (r − α/2)²
    alpha = 2 * (before - y) + 2 * (1 + damping) * ahead

    def at(eta: Floats, y: Floats, c: float) -> tuple[Floats, Floats, Floats]:
        r = eta - y
        return (r * r).sum(axis=1), ((r - c * alpha / 2) ** 2).sum(axis=1), 2 * r

    return _Dual(alpha, at, lambda: 1.0)


def _huber(before: Floats, ahead: Floats, y: Floats, delta: float, _: float, damping: float) -> _Dual:
    # ℓ*(α) = ½α² + αy for |α| ≤ δ;  ℓ + ℓ* − αη = ½(α − r)² where |r| ≤ δ, else with k = clip(r) (k − α)(r − ½(k + α))
    r = before - y
    alpha = np.clip(r, -delta, delta) + ((np.abs(r) <= delta) + damping) * ahead

    def at(eta: Floats, y: Floats, c: float) -> tuple[Floats, Floats, Floats]:
        r = eta - y
        k, a = np.clip(r, -delta, delta), c * alpha
        terms = np.where(np.abs(r) <= delta, (a - r) ** 2 / 2, (k - a) * (r - (k + a) / 2))
        return (k * (r - k / 2)).sum(axis=1), terms.sum(axis=1), k

    return _Dual(alpha, at, lambda: _within(alpha, -delta, delta))


def _slopes(before: Floats, ahead: Floats, y: Floats, low: float, high: float, h: float, damping: float) -> _Dual:
    # ℓ = low·r for r < 0, high·r for r > 0;  ℓ*(α) = αy for low ≤ α ≤ high;  ℓ + ℓ* − αη = (high − α)·r or (low − α)·r
    r = before - y
    steep = (high - low) / (2 * h) if h > 0 else 0.0
    alpha = np.clip(steep * r + (high + low) / 2, low, high) + steep * ((np.abs(r) <= h) + damping) * ahead

    def at(eta: Floats, y: Floats, c: float) -> tuple[Floats, Floats, Floats]:
        r = eta - y
        side = np.where(r > 0, high, np.where(r < 0, low, 0.0))
        return (side * r).sum(axis=1), ((side - c * alpha) * r).sum(axis=1), side

    return _Dual(alpha, at, lambda: _within(alpha, low, high))


def _mae(before: Floats, ahead: Floats, y: Floats, _: float, h: float, damping: float) -> _Dual:
    return _slopes(before, ahead, y, -1.0, 1.0, h, damping)


def _quantile(before: Floats, ahead: Floats, y: Floats, tau: float, h: float, damping: float) -> _Dual:
    return _slopes(before, ahead, y, -tau, 1 - tau, h, damping)


def _logistic(before: Floats, step: Floats, y: Floats, _: float, __: float, damping: float) -> _Dual:
    # ℓ*(α) = p·log p + (1 − p)·log(1 − p), p = α + y;  ℓ + ℓ* − αη is the divergence of p from σ(η)
    low, high = sigmoid(before), sigmoid(-before)
    ahead = (low * high + damping / 4) * step
    ones, zeros = low + ahead, high - ahead  # p and 1 − p
    ones[np.abs(ones) < _LEAST * low] = 0.0
    zeros[np.abs(zeros) < _LEAST * high] = 0.0
    alpha = np.where(y == 0, ones, np.where(y == 1, -zeros, ones - y))

    def at(eta: Floats, y: Floats, c: float) -> tuple[Floats, Floats, Floats]:
        p, q = sigmoid(eta), sigmoid(-eta)
        mine, rest = (ones, zeros) if c == 1 else (y + c * alpha, 1 - y - c * alpha)
        e = np.exp(-np.abs(eta))
        terms = divergence(mine, p, np.minimum(eta, 0) - np.log1p(e)) + divergence(rest, q, np.minimum(-eta, 0) - np.log1p(e))
        value = np.log1p(e) + np.where(eta > 0, (1 - y) * eta, -y * eta)
        return value.sum(axis=1), terms.sum(axis=1), np.where(y == 0, p, np.where(y == 1, -q, p - y))

    towards = np.where(y > 0.5, step, -step)
    push = float(towards.max(initial=0.0)), float(-towards.min(initial=0.0))
    return _Dual(alpha, at, lambda: 1.0 if min(ones.min(initial=0.0), zeros.min(initial=0.0)) >= 0 else 0.0, push)


def _softmax(before: Floats, ahead: Floats, y: Floats, _: float, __: float, damping: float) -> _Dual:
    # ℓ*(α) = Σ p·log p, p = α + onehot(y);  ℓ + ℓ* − αη is the divergence of p from softmax(η)
    p = shares(before)
    known = (y >= 0) & (y < p.shape[1]) & (np.floor(y) == y)  # labels may have been changed meanwhile: then nothing is proved
    y, p = np.where(known, y, 0), np.where(known, p, np.nan)
    own = np.arange(len(y)), y[:, 0].astype(np.intp)
    change = ahead - (p * ahead).sum(axis=1, keepdims=True)
    expected = np.where(np.abs(1 + change) < _LEAST, 0.0, p * (1 + change))
    alpha = expected.copy()
    alpha[own] = -np.where(np.arange(p.shape[1]) == y, 0.0, expected).sum(axis=1)

    def at(eta: Floats, y: Floats, c: float) -> tuple[Floats, Floats, Floats]:
        q, mine = shares(eta), expected
        if c < 1:
            mine = c * alpha
            mine[own] += 1
        slope = q.copy()
        slope[own] = -np.where(np.arange(q.shape[1]) == y, 0.0, q).sum(axis=1)
        top = eta.max(axis=1)
        whole = top + np.log(np.exp(eta - top[:, None]).sum(axis=1))
        return whole - eta[own], divergence(mine, q, eta - whole[:, None]).sum(axis=1), slope

    towards = ahead[own][:, None] - ahead
    push = float(towards.max(initial=0.0)), float(-towards.min(initial=0.0))
    return _Dual(alpha, at, lambda: 1.0 if damping == 0 and expected.min(initial=0.0) >= 0 else 0.0, push)


_DUALS: dict[str, Callable[..., _Dual]] = {
    "mse": _mse, "mae": _mae, "huber": _huber, "quantile": _quantile, "logistic": _logistic, "softmax": _softmax,
}  # fmt: skip


def sigmoid(raw: Floats) -> Floats:
    """1/(1 + e^−raw), without overflow."""
    e = np.exp(-np.abs(raw))
    result: Floats = np.where(raw > 0, 1, e) / (1 + e)
    return result


def shares(raw: Floats) -> Floats:
    """softmax of each row."""
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    result: Floats = e / e.sum(axis=1, keepdims=True)
    return result


def divergence(p: Floats, q: Floats, log_q: Floats) -> Floats:
    """p·log(p/q) − p + q ≥ 0, without cancellation where p is near q, which is almost everywhere.

    ``log_q`` is the logarithm of q, which tells of a q that is too small for a number.
    """
    safe = np.maximum(q, 1e-300)
    u = (p - q) / safe
    with np.errstate(over="ignore"):
        terms: Floats = safe * u * u * (0.5 + np.abs(u))
    far = np.abs(u) > 1e-5
    if far.any():
        p, q, log_q = p[far], q[far], log_q[far]
        log_p = np.log(np.maximum(p, 1e-300))
        terms[far] = np.where(p > 0, p * (log_p - log_q) - p + q, q)
    return terms
