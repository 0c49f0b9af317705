"""A quadratic with an l1 penalty and bounds, solved: min ½·wᵀAw − q·w + l1·‖w‖₁, low ≤ w ≤ high, for a symmetric A ⪰ 0.

Coordinate descent finds which weights are at none of their ends, with l1 0, and the bounds, and on which side of 0 they are;
among weights of given sides the problem is a linear system, A_SS·w_S = q_S − l1·sign(w_S) − A_SN·w_N, N all others, solved at
once. Where its solution lies across an end, the way there stops at the first weight that comes to one, and that weight leaves;
where the system has no solution, the objective falls along a direction in which A is 0 until a weight comes to an end.
Every part lowers the objective, so nothing goes in circles. Coordinate descent alone needs as many sweeps as A's condition
number says: a column and its near copy (1e-3 of noise) take more than 100,000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.penalty import Box, smallest

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.backends.backend import Backend

_EPS = float(np.finfo(np.float64).eps)
_SWEEPS = 10  # of coordinate descent between two solutions of the support: few, so that Ctrl-C is answered between them
_ROUNDS = 200


def lasso(A: Floats, q: Floats, w: Floats, l1: float, backend: Backend, box: Box | None = None) -> bool:
    """Minimises from w (d,) on, in place; whether the conditions of the minimum hold up to rounding."""
    box = Box.of(None, len(w)) if box is None else box
    for _ in range(_ROUNDS):
        backend.lasso(A, q, w, l1, _SWEEPS, bounds=box.ends)
        _settle(A, q, w, l1, box)
        if solved(A, q, w, l1, box):
            return True
    return False


def solved(A: Floats, q: Floats, w: Floats, l1: float, box: Box | None = None) -> bool:
    """Whether 0 is a subgradient, but for the rounding of the terms that it is the sum of."""
    short = np.abs(smallest(w, A @ w - q, l1, Box.of(None, len(w)) if box is None else box))
    return bool(np.all(short <= _rounding(A, q, w, l1)))


def _rounding(A: Floats, q: Floats, w: Floats, l1: float) -> Floats:
    terms: Floats = np.abs(A) @ np.abs(w) + np.abs(q) + l1
    return 64 * _EPS * terms


def _settle(A: Floats, q: Floats, w: Floats, l1: float, box: Box) -> None:
    """The best weights on the sides of 0 and between the bounds where w has them, or with fewer that are at no end."""
    support, on = _between(w, l1, box), True
    while len(support) and on:
        v, signs = w[support], np.sign(w[support])
        still = w.copy()
        still[support] = 0.0
        B, wanted = A[np.ix_(support, support)], q[support] - A[support] @ still - l1 * signs
        ends = _ends(v, l1, Box(box.low[support], box.high[support]))
        missing = wanted - B @ v
        ahead = solution(B, missing)
        left = missing - B @ ahead
        terms = np.abs(q[support]) + np.abs(A[support]) @ np.abs(still)
        rounding = _rounding(B, terms, np.abs(v) + np.abs(ahead), l1)
        reached = np.max(np.abs(left) / rounding) <= np.max(np.abs(missing) / rounding) / 2
        on = bool(np.any(np.abs(left) > rounding))
        if on and not reached:
            ahead, on = _flat_way(B, left, v, ends), False  # what B reaches is solved
        until, end = _until(v, ahead, ends)
        first = min(1.0, float(until.min()))
        moved = v + first * ahead
        there = until <= first
        moved[there] = end[there]
        if not _lower(B, wanted, v, moved):
            return
        w[support] = moved
        on = on or bool(there.any())
        support = _between(w, l1, box)


def _between(w: Floats, l1: float, box: Box) -> Array:
    """The weights that are at none of their ends."""
    free = box.inside(w)
    return np.flatnonzero(free & (w != 0) if l1 > 0 else free)


def _ends(w: Floats, l1: float, box: Box) -> tuple[Floats, Floats]:
    """The ends below and above weights that are at none."""
    if l1 == 0:
        return box.low, box.high
    return np.where(w > 0, np.maximum(box.low, 0.0), box.low), np.where(w < 0, np.minimum(box.high, 0.0), box.high)


def _until(w: Floats, ahead: Floats, ends: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """After what part of the way each weight comes to an end, and to which."""
    end = np.where(ahead < 0, *ends)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(ahead != 0, (end - w) / ahead, np.inf), end


def _flat_way(B: Floats, left: Floats, w: Floats, ends: tuple[Floats, Floats]) -> Floats:
    """The way along what of the slope B does not reach, where B is 0 or nearly so: to the minimum, or past an end."""
    along = left / np.where(np.diag(B) > 0, np.diag(B), np.inf)
    bend = float(along @ B @ along)
    until, _ = _until(w, along, ends)
    past = 2 * float(until[np.isfinite(until)].max(initial=0.0))
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
