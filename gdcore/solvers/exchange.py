"""A sum of lines with a kink each, minimised at a vertex by exchanging rows.

    f(θ) = c·θ + Σ ρ_i(a_i·θ − y_i),   ρ_i(r) = high_i·r for r > 0, low_i·r for r < 0

The minimum lies where as many rows fit exactly as the rank of A says: the basis B. From θ the steepest descent that keeps the
rows of B at 0 ends where the slope of f becomes positive, past as many kinks as that takes, at a row that joins B (Bartels,
Conn and Sinclair 1978). Once B is full, f's slope is −Σ λ_b·a_b over its rows; one whose λ_b does not lie between low_b and
high_b leaves along its edge, and another one joins (Barrodale and Roberts 1973). Where all λ_b lie there, they prove the
minimum: λ on B, and on all other rows the slope of their side, are a dual solution of the same value.

Rows that fit though they are not of B would let exchanges go in circles. So every y_i is thought larger by δ_i·ε, ε smaller
than any number: of a residual r + r'·ε the sign is that of r, or of r' where r is 0 but for rounding. No two kinks coincide
then, each exchange lowers f, and the rows that fit have a slope between low and high as well: the proof stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

_EPS = float(np.finfo(np.float64).eps)
FITS = 32 * _EPS
"""Of the terms that a prediction is made of: a row that fits is so near its target."""
_SOME = 64  # kinks are put in order at first
_NONE = 1e-12  # of the terms of a change: less is none
_REFRESH = 32  # exchanges, after which sums and the inverse are made anew
_CLEAR = 1e-6  # a singular value of columns of length 1 that leaves no doubt
_DOUBTFUL = 1e-6  # of the distance of a row's slopes: λ that is rounded by more proves nothing where it is near them
_DEPENDENT = 1e-10  # of a column's length: less of it is its own


class Vertex(NamedTuple):
    """Where f is smallest, and why."""

    theta: Floats
    basis: Array
    """(rank,) the rows that it passes through."""
    slopes: Floats
    """(m,) the dual: λ on the basis, low or high elsewhere."""
    excess: Floats
    """(rank,) by how much λ may lie outside of its row's slopes, for rounding."""
    unique: bool
    """Whether f is larger everywhere else, but along columns that depend on others."""
    left: Floats
    """(m,) a·θ − y, 0 where a row fits."""


def exchanged(
    A: Floats, y: Floats, low: Floats, high: Floats, delta: Floats, c: Floats, size: float, start: Floats, steps: int
) -> Vertex | None:
    """The minimum; None where f has none, or where so many exchanges do not find it.

    ``delta`` are numbers that no two rows share; ``size`` is what the terms of c and of the slopes of all rows add up to,
    whose rounding is ε of it.
    """
    own, others, mixed = independent(A)
    if np.any(np.abs(c[others] - c[own] @ mixed) > 1e-8 * size):
        return None  # c goes where no row of A goes
    try:
        found = _exchanged(A[:, own], y - A[:, others] @ start[others], low, high, delta, c[own], size, start[own], steps)
    except np.linalg.LinAlgError:
        return None
    if found is None:
        return None
    theta = start.copy()
    theta[own] = found.theta
    return found._replace(theta=theta)


def independent(A: Floats) -> tuple[Array, Array, Floats]:
    """Columns that do not depend on others, the others, and what these are made of: A[:, others] = A[:, own]·mixed."""
    length = np.sqrt(np.einsum("ij,ij->j", A, A))
    G = A / np.where(length > 0, length, 1.0)
    d = A.shape[1]
    if len(A) >= d and np.linalg.svd(np.linalg.qr(G, mode="r"), compute_uv=False)[-1] > _CLEAR:
        return np.arange(d), np.zeros(0, np.intp), np.zeros((d, 0))
    rest, own = G.copy(), list[int]()
    for _ in range(min(A.shape)):
        left = np.einsum("ij,ij->j", rest, rest)
        left[own] = 0
        j = int(np.argmax(left))
        if left[j] <= _DEPENDENT**2:
            break
        own.append(j)
        q = rest[:, j] / np.sqrt(left[j])
        rest -= np.outer(q, q @ rest)
    chosen = np.sort(np.array(own, np.intp))
    others = np.setdiff1d(np.arange(A.shape[1]), chosen)
    if not len(others) or not len(chosen):
        return chosen, others, np.zeros((len(chosen), len(others)))
    mixed: Floats = np.asarray(np.linalg.lstsq(A[:, chosen], A[:, others], rcond=None)[0], np.float64)
    return chosen, others, mixed


def _exchanged(
    A: Floats, y: Floats, low: Floats, high: Floats, delta: Floats, c: Floats, size: float, start: Floats, steps: int
) -> Vertex | None:
    rank = A.shape[1]
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", A, A))
    jumps = high - low
    wanted = np.column_stack([y, delta])
    at: Floats = np.column_stack([start, np.zeros(rank)])  # θ and what of it is multiplied by ε
    basis: list[int] = []
    Q, reach = np.zeros((rank, 0)), float(np.linalg.norm(start))
    inverse: Floats = np.zeros((0, 0))
    slopes, g, since = np.zeros(len(y)), c.copy(), _REFRESH
    for _ in range(steps):
        full = len(basis) == rank
        if full:
            B = A[basis]
            if since >= _REFRESH or len(inverse) < rank:
                inverse = np.asarray(np.linalg.inv(B), np.float64)
            at = inverse @ wanted[basis]
            at += inverse @ (wanted[basis] - B @ at)
            reach = float(np.linalg.norm(np.abs(inverse) @ (lengths[basis] * np.linalg.norm(at[:, 0]) + np.abs(y[basis]))))
        reach = max(reach, float(np.linalg.norm(at[:, 0])))
        r = A @ at - wanted
        r[np.abs(r[:, 0]) <= FITS * (lengths * reach + np.abs(y)), 0] = 0.0
        r[basis] = 0.0
        side = np.where(r[:, 0] != 0, r[:, 0], r[:, 1])
        now = np.where(side > 0, high, low)
        now[basis] = 0.0
        changed = np.flatnonzero(now != slopes) if since < _REFRESH else np.arange(len(y))
        g = g + (now - slopes)[changed] @ A[changed] if since < _REFRESH else c + now @ A
        slopes, since = now, since + 1 if since < _REFRESH else 1
        leaves = -1
        if full:
            multipliers = -g @ inverse
            multipliers += (-g - multipliers @ B) @ inverse
            beyond = np.maximum(multipliers - high[basis], low[basis] - multipliers)
            rounding = 8 * _EPS * size * np.abs(inverse).sum(axis=0)  # of λ
            noise = rounding + 1e-12 * jumps[basis]
            leaves = int(np.argmax((beyond - noise) / jumps[basis])) if rank else -1
            if leaves < 0 or beyond[leaves] <= noise[leaves]:
                if since > 1:
                    since = _REFRESH  # once more, without what exchanges have rounded
                    continue
                undecided = beyond > -rounding  # whether λ lies within its row's slopes
                if np.any(undecided & (rounding > _DOUBTFUL * jumps[basis])):
                    return None  # rows so nearly dependent tell no λ
                slopes[basis] = np.clip(multipliers, low[basis], high[basis])
                tight = np.flatnonzero(beyond >= -noise - 1e-9 * jumps[basis])
                up = np.where(multipliers[tight] > (low + high)[basis][tight] / 2, 1, -1)
                unique = not any(_free(A, inverse[:, b] * way, r, side, lengths) for b, way in zip(tight, up, strict=True))
                return Vertex(at[:, 0], np.array(basis, np.intp), slopes, np.maximum(beyond + rounding, 0.0), unique, r[:, 0])
            edge = inverse[:, leaves] * (1 if multipliers[leaves] > high[basis][leaves] else -1)
            slope = -float(beyond[leaves])
        else:
            edge, slope = _descent(Q, g, size)
        v = _changes(A, edge, lengths, basis)
        joins, t = _first_rising(r, side, v, jumps, slope)
        if joins < 0 and slope == 0:
            edge, v = -edge, -v
            joins, t = _first_rising(r, side, v, jumps, slope)
        if joins < 0:
            return None
        if leaves >= 0:
            # The inverse of B with another row in this place, which it is appended without (Sherman and Morrison 1950).
            row = A[joins] @ inverse
            column = inverse[:, leaves] / row[leaves]
            inverse = inverse - np.outer(column, row)
            inverse = np.column_stack([np.delete(inverse, leaves, axis=1), column])
            basis.pop(leaves)
        else:
            q = A[joins] - Q @ (A[joins] @ Q)
            q -= Q @ (q @ Q)
            Q = np.column_stack([Q, q / np.linalg.norm(q)])
        at = at + np.outer(edge, t)
        basis.append(joins)
    return None


def _descent(Q: Floats, g: Floats, size: float) -> tuple[Floats, float]:
    """The steepest descent at a right angle to all columns of Q, and its slope; where there is none, any such way."""
    d = -(g - Q @ (g @ Q))
    d -= Q @ (d @ Q)
    length = float(np.linalg.norm(d))
    if length > 64 * _EPS * size:
        return d / length, -length
    d = np.zeros(len(g))
    d[int(np.argmin(np.einsum("ij,ij->i", Q, Q)))] = 1.0
    for _ in range(2):
        d -= Q @ (d @ Q)
    return d / np.linalg.norm(d), 0.0


def _changes(A: Floats, edge: Floats, lengths: Floats, basis: list[int]) -> Floats:
    """What a way changes of every residual; of the basis one row, if any, which is not met again."""
    v = A @ edge
    v[np.abs(v) <= _NONE * lengths * np.linalg.norm(edge)] = 0.0
    v[basis] = 0.0
    return v


def _first_rising(r: Floats, side: Floats, v: Floats, jumps: Floats, slope: float) -> tuple[int, Floats]:
    """The row at whose kink the slope becomes positive, and how far away it is, with what is multiplied by ε; −1: none."""
    rows = np.flatnonzero(side * v < 0)
    if not len(rows):
        return -1, np.zeros(2)
    when = -r[rows, 0] / v[rows]
    steep = jumps[rows] * np.abs(v[rows])
    most = _SOME
    while True:
        # Those that are met first, as many as it takes, in their order.
        some = np.arange(len(rows))
        if most < len(rows):
            some = np.flatnonzero(when <= np.partition(when, most)[most])
        after = -r[rows[some], 1] / v[rows[some]]
        order = some[np.lexsort((after, when[some]))]
        place = int(np.searchsorted(slope + np.cumsum(steep[order]), 0.0))
        if place < len(order):
            row = rows[order[place]]
            return int(row), -r[row] / v[row]
        if most >= len(rows):
            return -1, np.zeros(2)
        most *= 16


def _free(A: Floats, edge: Floats, r: Floats, side: Floats, lengths: Floats) -> bool:
    """Whether one can go some way along an edge without a kink."""
    v = _changes(A, edge, lengths, [])
    return not np.any((side * v < 0) & (r[:, 0] == 0))
