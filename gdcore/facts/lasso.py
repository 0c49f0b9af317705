"""A quadratic with an l1 penalty, solved: min ½·wᵀAw − q·w + l1·‖w‖₁ for a symmetric A ⪰ 0.

Coordinate descent finds which weights are not 0, and with which signs; among weights of given signs the problem is a linear
system, A_SS·w_S = q_S − l1·sign(w_S), solved at once. Where its solution lies across a 0, the way there stops at the first
weight that becomes 0, and that weight leaves; where the system has no solution, the objective falls along a direction in which
A is 0 until a weight becomes 0. Every part lowers the objective, so nothing goes in circles. Coordinate descent alone needs as
many sweeps as A's condition number says: a column and its near copy (1e-3 of noise) take more than 100,000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.backends.backend import Backend

_EPS = float(np.finfo(np.float64).eps)
_SWEEPS = 10  # of coordinate descent between two solutions of the support: few, so that Ctrl-C is answered between them
_ROUNDS = 200


def lasso(A: Floats, q: Floats, w: Floats, l1: float, backend: Backend) -> bool:
    """Minimises from w (d,) on, in place; whether the conditions of the minimum hold up to rounding."""
    for _ in range(_ROUNDS):
        backend.lasso(A, q, w, l1, _SWEEPS)
        _settle_support(A, q, w, l1)
        if solved(A, q, w, l1):
            return True
    return False


def solved(A: Floats, q: Floats, w: Floats, l1: float) -> bool:
    """Whether 0 is a subgradient, but for the rounding of the terms that it is the sum of."""
    slope = A @ w - q
    short = np.where(w == 0, np.maximum(np.abs(slope) - l1, 0), np.abs(slope + l1 * np.sign(w)))
    return bool(np.all(short <= _rounding(A, q, w, l1)))


def _rounding(A: Floats, q: Floats, w: Floats, l1: float) -> Floats:
    terms: Floats = np.abs(A) @ np.abs(w) + np.abs(q) + l1
    return 64 * _EPS * terms


def _settle_support(A: Floats, q: Floats, w: Floats, l1: float) -> None:
    """The best weights with the signs that w has, or fewer of them."""
    support, on = np.flatnonzero(w), True
    while len(support) and on:
        v, signs = w[support], np.sign(w[support])
        B, wanted = A[np.ix_(support, support)], q[support] - l1 * signs
        missing = wanted - B @ v
        ahead = solution(B, missing)
        left = missing - B @ ahead
        rounding = _rounding(B, q[support], np.abs(v) + np.abs(ahead), l1)
        reached = np.max(np.abs(left) / rounding) <= np.max(np.abs(missing) / rounding) / 2
        on = bool(np.any(np.abs(left) > rounding))
        if on and not reached:
            ahead, on = _flat_way(B, left, v), False  # what B reaches is solved
        with np.errstate(divide="ignore", invalid="ignore"):
            until = np.where(ahead * signs < 0, -v / ahead, np.inf)
        first = min(1.0, float(until.min()))
        moved = v + first * ahead
        moved[until <= first] = 0
        if not _lower(B, wanted, v, moved):
            return
        w[support] = moved
        on = on or bool((moved == 0).any())
        support = np.flatnonzero(w)


def _flat_way(B: Floats, left: Floats, w: Floats) -> Floats:
    """The way along what of the slope B does not reach, where B is 0 or nearly so: to the minimum, or past a 0 of w."""
    along = left / np.where(np.diag(B) > 0, np.diag(B), np.inf)
    bend = float(along @ B @ along)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        past = 2 * float(np.where(along * w < 0, -w / along, 0.0).max(initial=0.0))
    result: Floats = along * (min(float(left @ along) / bend, past) if bend > 0 else past)
    return result


def _lower(B: Floats, wanted: Floats, before: Floats, after: Floats) -> bool:
    """Whether ½·wᵀBw − wanted·w falls, taken as the slope in the middle of the way, without cancellation."""
    step = after - before
    return float(step @ (B @ ((before + after) / 2) - wanted)) <= 0


def solution(B: Array, right: Array) -> Floats:
    """A solution of B·x = right for a symmetric B ⪰ 0; of a singular one that with the shortest scaled x, of what B reaches.

    The diagonal is scaled to 1; what of the eigenvalues is rounding counts as 0.
    """
    scale = np.sqrt(np.maximum(np.diag(B), 0))
    scale = np.where(scale > 0, scale, np.inf)
    S = B / scale / scale[:, None]
    flat = right.reshape(len(S), -1) / scale[:, None]
    dead = np.isinf(scale)
    S[dead, dead] = 1.0
    try:
        pivots = np.diag(np.linalg.cholesky(S))
        if pivots.min(initial=1.0) ** 2 > 1e-10:
            x = np.linalg.solve(S, flat)
            x += np.linalg.solve(S, flat - S @ x)  # digits that elimination has lost
            return np.asarray((x / scale[:, None]).reshape(right.shape))
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(S)
    kept = values > max(10, len(S)) * _EPS * values[-1]
    vectors = vectors[:, kept]
    x = vectors @ (vectors.T @ flat / values[kept][:, None])
    return np.asarray((x / scale[:, None]).reshape(right.shape))
