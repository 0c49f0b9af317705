"""A piecewise linear function, minimised exactly: the last steps of mae and quantile, over few rows.

    f(θ) = c·θ + ½·Σ q_j·θ_j² + Σ ρ_i(a_i·θ − y_i),   ρ_i(r) = high_i·r for r > 0, low_i·r for r < 0

The minimum lies where some rows fit exactly, r_i = 0 (the active ones). Of those a descent along d keeps the residuals 0; d is
the steepest one that does (or where q > 0 Newton's), and it ends where f's slope along d becomes positive, as a rule at a row
that joins the active ones. Where there is no such descent any more, f's slope is −Σ λ_i·a_i over the active rows; a row whose
λ_i does not lie between low_i and high_i leaves. If all lie there, θ is the minimum (Bartels, Conn and Sinclair 1978).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

_EVEN = 1e-11  # of the terms of a slope: less is rounding
_BEYOND = 1e-9  # of a row's slopes: by so much λ may lie outside of them


def minimised(
    A: Floats, y: Floats, low: Floats, high: Floats, c: Floats, q: Floats, start: Floats, steps: int
) -> tuple[Floats, Array, Floats]:
    """θ (p,), the active rows and their λ, after at most so many steps from ``start``. A (m, p) with columns of about size 1."""
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
    """How far f falls along a direction that changes the residuals r by v, and which row is 0 there (−1: none).

    ``smooth`` and ``bend`` are the slope and the curvature of what is not ρ. A row that is 0 at once and would stop the descent
    joins at t = 0.
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
