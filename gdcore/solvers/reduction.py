"""A sum of lines with a kink each over many rows, minimised exactly by few of them.

Portnoy and Koenker's reduction (1997): near some θ most rows are surely above or surely below their target. Their sum is a
line as long as they stay there, so that c·θ stands for them all; the minimum over the others is found exactly
(`gdcore.solvers.exchange`). It is at most the minimum over all rows, for a line lies below its kinked sum, and it is that
where the rows that were left out are still on their side, which one pass tells. Those that are not are taken in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.facts.lasso import solution
from gdcore.solvers.exchange import FITS, Vertex, exchanged

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

FEW, CHEAP = 50, 2000
"""p times the one and the other: so many rows are solved at once."""
_ROUNDS = 30
_STEPS = 2  # of Newton's method for a width
_WIDER = 8.0
_BLOCK = 4096  # rows are copied together


class Lines(NamedTuple):
    """c·θ + Σ ρ_i(a_i·θ − y_i)."""

    A: Floats
    """(m, p)."""
    y: Floats
    low: Floats
    high: Floats
    delta: Floats
    """By what rows that fit together are told apart (`gdcore.solvers.exchange`)."""
    c: Floats
    size: float
    """What the terms of all slopes add up to."""

    def of(self, rows: Array, c: Floats) -> Lines:
        """Some rows, and another line."""
        return Lines(self.A[rows], self.y[rows], self.low[rows], self.high[rows], self.delta[rows], c, self.size)


def solved(lines: Lines, start: Floats) -> Vertex | None:
    """The minimum, of however many rows; None where none is found."""
    m, p = lines.A.shape
    few = FEW * p + CHEAP
    if m <= few:
        return exchanged(*lines, start, _most_steps(m, p))
    theta = smoothed(lines, start, few)
    r = lines.A @ theta - lines.y
    kept = _nearest(r, few)
    for _ in range(_ROUNDS):
        above, rows = r > 0, np.flatnonzero(kept)
        sides = np.where(kept, 0.0, np.where(above, lines.high, lines.low))
        found = exchanged(*lines.of(rows, lines.c + sides @ lines.A), theta, _most_steps(len(rows), p))
        if found is None and kept.all():
            return None
        if found is None:  # so few rows do not hold θ back
            kept = _nearest(r, 4 * len(rows))
            continue
        now = lines.A @ found.theta - lines.y
        wrong, touched = lost(lines.A, lines.y, found.theta, now, above)
        changed = ~kept & (wrong if found.unique else wrong | touched)
        if not changed.any():
            slopes, left = sides, now
            slopes[rows], left[rows] = found.slopes, found.left
            return found._replace(basis=rows[found.basis], slopes=slopes, left=left)
        theta = found.theta
        if np.count_nonzero(changed) <= few:
            kept |= changed
            r = np.where(wrong, r, now)
        else:  # too far away: those that are near now
            kept, r = _nearest(now, 2 * len(rows)), now
    return None


def lost(A: Floats, y: Floats, theta: Floats, r: Floats, above: Array) -> tuple[Array, Array]:
    """Which rows, held above or below their target, are on the other side by more than rounding; which are at it."""
    wrong, fits = np.zeros(len(y), bool), np.zeros(len(y), bool)
    some = np.flatnonzero(np.where(above, r, -r) <= 1e-6 * np.abs(r).max(initial=0.0))
    fits[some] = np.abs(r[some]) <= FITS * (np.abs(A[some]) @ np.abs(theta) + np.abs(y[some]))
    wrong[some] = ((r[some] < 0) == above[some]) & ~fits[some]
    return wrong, fits


def _nearest(r: Floats, count: int) -> Array:
    kept = np.ones(len(r), bool)
    if count < len(r):
        kept[np.argpartition(np.abs(r), count)[count:]] = False
    return kept


def _most_steps(m: int, p: int) -> int:
    return 100 * p + 4 * m + 200


def smoothed(lines: Lines, start: Floats, few: int) -> Floats:
    """Where Newton's method comes with smoothed kinks, |r| ≤ h, from wide ones to such as some rows are within."""
    theta = start
    r = lines.A @ theta - lines.y
    h = float(np.median(np.abs(r)))
    while h > 0:
        for _ in range(_STEPS):
            step = _newton(lines, r, h)
            along, share = lines.A @ step, 1.0
            before, after = _value(lines, theta, r, h), _value(lines, theta + step, r + along, h)
            while not after < before and share > 1e-3:
                share /= 4
                after = _value(lines, theta + share * step, r + share * along, h)
            if not after < before:
                break
            theta, r = theta + share * step, r + share * along
            if before - after < 1e-3 * h * float(lines.high.mean() - lines.low.mean()) * few:
                break
        if np.count_nonzero(np.abs(r) <= h) <= few / 4:
            break
        h /= _WIDER
        if h < 1e-12 * float(np.mean(np.abs(r))):
            break
    return theta


def _newton(lines: Lines, r: Floats, h: float) -> Floats:
    near = np.flatnonzero(np.abs(r) <= h)
    middle, half = (lines.low + lines.high) / 2, (lines.high - lines.low) / 2
    g = lines.c + (middle + half * np.clip(r / h, -1, 1)) @ lines.A
    H = np.zeros((len(g), len(g)))
    for i in range(0, len(near), _BLOCK):
        rows = near[i : i + _BLOCK]
        B = lines.A[rows] * np.sqrt(half[rows] / h)[:, None]
        H += B.T @ B
    H[np.diag_indices(len(H))] += 1e-10 * np.trace(H) / len(H) + 1e-300
    step: Floats = -solution(H, g)
    return step


def _value(lines: Lines, theta: Floats, r: Floats, h: float) -> float:
    """f with ρ higher by (h − |r|)²·(high − low)/4h within h."""
    inside = np.maximum(h - np.abs(r), 0.0)
    rho = np.maximum(lines.low * r, lines.high * r) + (lines.high - lines.low) * inside**2 / (4 * h)
    return float(lines.c @ theta) + float(rho.sum())
