"""A piecewise linear function, minimised exactly: the last steps of mae and quantile, over few rows.

    f(θ) = c·θ + ½·Σ q_j·θ_j² + Σ ρ_i(a_i·θ − y_i),   ρ_i(r) = high_i·r for r > 0, low_i·r for r < 0

The minimum lies where some rows fit exactly, r_i = 0 (the active ones). Of those a descent along d keeps the residuals 0; d is
the steepest one that does (or where q > 0 Newton's), and it ends where f's slope along d becomes positive, as a rule at a row
that joins the active ones. Where there is no such descent any more, f's slope is −Σ λ_i·a_i over the active rows; a row whose
λ_i does not lie between low_i and high_i leaves. If all lie there, θ is the minimum (Bartels, Conn and Sinclair 1978).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.facts.curvature import Frame, Part
    from gdcore.losses import Loss
    from gdcore.penalty import Penalty
    from gdcore.rows.tables import Piece

Near = tuple[Any, Any, Any, Any]
"""Rows [x − μ, 1] (m, d + 1) near their target, their r and s (m,), and the sum of s·ℓ'·[x − μ, 1] over all others."""

_EVEN = 1e-11  # of the terms of a slope: less is rounding
_BEYOND = 1e-9  # of a row's slopes: by so much λ may lie outside of them
_EPS = float(np.finfo(np.float64).eps)
_FITS = 64 * _EPS  # of the terms of a prediction: a row that fits is so near its target


def near(piece: Piece, n_threads: int, *, part: Part, mean: Floats, width: float, loss: Loss) -> Near:
    """For a `fold`: [x − μ, 1], r and s of the rows within a width of their target; of all others Σ s·ℓ'·[x − μ, 1]."""
    x = np.ascontiguousarray(piece.X, np.float64)
    y = np.ascontiguousarray(piece.Y[:, list(part.outputs)], np.float64)
    s = piece.weights
    r = (x @ part.weights + (0.0 if part.bias is None else part.bias) - y)[:, 0]
    near = (np.abs(r) <= width) & (s > 0)
    z = np.column_stack([x - mean, np.ones(len(x))])
    low, high = loss.sides()
    slope = np.where(near, 0.0, np.where(r > 0, high, low)) * s
    return z[near], r[near], s[near], slope @ z


def joined(a: Near, b: Near) -> Near:
    """Of both pieces."""
    return (*(np.concatenate([mine, its]) for mine, its in zip(a[:3], b[:3], strict=True)), a[3] + b[3])


def corner(
    rows: Near, part: Part, frame: Frame, loss: Loss, total: float, width: float, typical: float
) -> tuple[Part, Floats | None] | None:
    """The minimum over the rows near their target, all others kept on their side: where it is, and the step from there.

    The step (1, p) in (w, b') makes the smoothed slopes of the rows that fit exactly what they are at the minimum; None where
    they are not known. h is so small that only such rows lie within it. None where nothing finite is found.
    """
    z, r, s, slope = rows
    weights, (low, high) = part.weights[:, 0], loss.sides()
    d, p = len(weights), len(frame.plain)
    scale = np.where(np.diag(frame.plain) > 0, np.sqrt(np.append(frame.spread, 1.0)[:p]), 1.0)
    A, y, each = z[:, :p] / scale, -r, s / total
    lows, highs, penalised = each * low, each * high, np.eye(d, p) / scale
    steep = 2 * (np.maximum(highs, -lows) @ np.abs(z[:, :d]) + np.abs(slope[:d]) / total)
    ends = _ends(frame.penalty, steep)
    if ends:
        columns, values, below, above = (np.array(numbers) for numbers in zip(*ends, strict=True))
        A, y = np.vstack([A, penalised[columns]]), np.append(y, values - weights[columns])
        lows, highs = np.append(lows, below), np.append(highs, above)
    c = slope[:p] / total / scale + frame.penalty.l2 * (weights @ penalised)
    q = frame.penalty.l2 * np.sum(penalised**2, axis=0)
    moved, active, multipliers = minimised(A, y, lows, highs, c, q, np.zeros(p), 20 * p + 2 * len(y) + 50)
    w, b = frame.away((moved / scale)[None])
    new, bias = part.weights + w, None if part.bias is None or b is None else part.bias + b
    for end in active[active >= len(r)] - len(r):
        new[ends[end][0]] = ends[end][1]
    new = frame.penalty.box.clip(new)
    if not np.isfinite(new).all():
        return None
    if not loss.kinked:
        return part._replace(weights=new, bias=bias, smoothing=loss.parameter), None
    left = (A @ moved - y)[: len(r)]
    fitting = active[active < len(r)]
    others = np.abs(np.delete(left, fitting))
    fits = _FITS * (frame.terms(new, bias) + typical)
    nearest = float(np.min(others[others > fits], initial=np.inf))
    size = typical or (nearest if np.isfinite(nearest) else 1.0)  # most rows may fit exactly, at weights of 0
    # l2 bends what is a corner without it: h costs h² then.
    h = max(fits, min(nearest / 2, width, math.sqrt(_EPS) * size if frame.penalty.l2 > 0 else math.inf))
    there = part._replace(weights=new, bias=bias, smoothing=h if np.isfinite(h) else max(fits, size))
    if len(multipliers) != len(active):
        return there, None
    wanted = (multipliers[active < len(r)] / each[fitting] - (low + high) / 2) * 2 * there.smoothing / (high - low)
    delta = np.zeros(p)
    if len(fitting):
        delta = np.linalg.lstsq(A[fitting], wanted - left[fitting], rcond=None)[0] / scale
    return there, delta[None]


def _ends(penalty: Penalty, steep: Floats) -> list[tuple[int, float, float, float]]:
    """What holds weights: of each a column, a weight, and by how much the objective's slope jumps there, below 0 and above.

    l1·|w| is a row that fits where w = 0. A bound is one, too, whose slope beyond it is more than that of all else, ``steep``
    and the penalties, so that no minimum lies there.
    """
    l1, l2, (low, high) = penalty
    found: dict[tuple[int, float], tuple[float, float]] = {}
    for j in range(len(low)):
        wall = steep[j] + 2 * (l1 + l2 * max((abs(end) for end in (low[j], high[j]) if np.isfinite(end)), default=0.0))
        for value, below, above in ((0.0, -l1, l1), (low[j], -wall, 0.0), (high[j], 0.0, wall)):
            if np.isfinite(value) and below < above:
                before = found.get((j, value), (0.0, 0.0))
                found[j, value] = before[0] + below, before[1] + above
    return [(j, float(value), *jump) for (j, value), jump in found.items()]


def minimised(
    A: Floats, y: Floats, low: Floats, high: Floats, c: Floats, q: Floats, start: Floats, steps: int
) -> tuple[Floats, Array, Floats]:
    """θ (p,), the active rows and their λ, after so many steps from ``start`` at most; A (m, p) has columns of size 1."""
    theta, active, multipliers = start.copy(), np.zeros(0, np.intp), np.zeros(0)
    metric = np.where(q > 0, q, q[q > 0].min() if (q > 0).any() else 1.0)
    r = A @ theta - y
    for _ in range(steps):
        slope = np.where(r > 0, high, np.where(r < 0, low, 0.0))
        slope[active] = 0.0
        size = np.abs(c) + np.abs(q * theta) + np.maximum(high, -low) @ np.abs(A)
        g = c + q * theta + slope @ A
        d, multipliers = _direction(A[active], g, metric)
        if np.all(np.abs(d * metric) <= _EVEN * size):
            beyond = np.maximum(multipliers - high[active], low[active] - multipliers) / (high - low)[active]
            worst = int(np.argmax(beyond)) if len(active) else -1
            if worst < 0 or beyond[worst] <= _BEYOND:
                break
            row = active[worst]
            side = high[row] if multipliers[worst] > high[row] else low[row]
            active = np.delete(active, worst)
            d, _ = _direction(A[active], g + side * A[row], metric)
        v = A @ d
        t, joins = _as_far_as_it_falls(r, v, low, high, float((c + q * theta) @ d), float(np.sum(q * d * d)), active)
        if joins < 0 and t == 0:
            break
        theta = theta + t * d
        r = A @ theta - y
        if joins >= 0:
            active = np.append(active, joins)
        r[active] = 0.0
    return _on_rows(A, y, active, theta), active, multipliers


def _direction(A: Floats, g: Floats, metric: Floats) -> tuple[Floats, Floats]:
    """d that minimises g·d + ½·Σ metric·d² with A·d = 0, and λ with g + metric·d + Aᵀλ = 0."""
    if not len(A):
        return -g / metric, np.zeros(0)
    root = np.sqrt(metric)
    Q, R = np.linalg.qr((A / root).T)
    flat = g / root
    inside = Q.T @ flat
    d = -(flat - Q @ inside)
    d -= Q @ (Q.T @ d)
    return d / root, -np.linalg.lstsq(R, inside, rcond=None)[0]


def _as_far_as_it_falls(
    r: Floats, v: Floats, low: Floats, high: Floats, smooth: float, bend: float, active: Array
) -> tuple[float, int]:
    """How far f falls along a way that changes residuals by v; which row is 0 there (−1: none).

    ``smooth`` and ``bend`` are the slope and the curvature of what is not ρ. A row that is 0 at once and would stop the
    descent joins at t = 0.
    """
    moving = np.abs(v) > 0
    moving[active] = False
    rows = np.flatnonzero(moving)
    at, speed = r[rows], v[rows]
    ahead = np.where(at == 0, np.where(speed > 0, high[rows], low[rows]), np.where(at > 0, high[rows], low[rows]))
    slope = smooth + float(ahead @ speed)
    if slope >= 0:
        zero = rows[at == 0]
        return 0.0, int(zero[np.argmax(np.abs(v[zero]))]) if len(zero) else -1
    crossing = (at * speed) < 0
    rows, when = rows[crossing], -at[crossing] / speed[crossing]
    order = np.argsort(when, kind="stable")
    rows, when = rows[order], when[order]
    jumps = np.cumsum((high[rows] - low[rows]) * np.abs(v[rows]))
    before = slope + bend * when + np.concatenate([[0.0], jumps[:-1]]) if len(rows) else np.zeros(0)
    after = before + (high[rows] - low[rows]) * np.abs(v[rows])
    stops = np.flatnonzero(after >= 0)
    if not len(stops):
        return (-(slope + (jumps[-1] if len(rows) else 0.0)) / bend, -1) if bend > 0 else (0.0, -1)
    first = int(stops[0])
    if before[first] > 0:  # the curvature stops it before that row
        return when[first] - before[first] / bend, -1
    return float(when[first]), int(rows[first])


def _on_rows(A: Floats, y: Floats, active: Array, theta: Floats) -> Floats:
    """θ moved as little as makes the active rows' residuals 0, which many steps have rounded."""
    if not len(active):
        return theta
    Z = A[active]
    for _ in range(2):
        theta = theta + np.linalg.lstsq(Z, y[active] - Z @ theta, rcond=None)[0]
    return theta
