"""The passes of `gdcore.solvers.exact_quantile` over rows that stay where they are, for several minima at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.solvers.reduction import lost

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.rows.tables import Piece


class Rows(NamedTuple):
    """Some rows."""

    z: Floats
    """(m, p): [x − μ, 1], or x, its columns divided by their scale."""
    y: Floats
    """(m,), or (m, k) of all outputs."""
    s: Floats
    numbers: Array
    """(m,) from 0."""

    def of(self, which: Array) -> Rows:
        """Some of them."""
        return Rows(*(column[which] for column in self))

    @classmethod
    def together(cls, parts: list[Rows]) -> Rows:
        """One after the other; the list is emptied meanwhile, so that no row is in memory twice."""
        first, m = parts[0], sum(len(rows.s) for rows in parts)
        whole = cls(*(np.empty((m, *column.shape[1:]), column.dtype) for column in first))
        for rows in iter(lambda: parts.pop() if parts else None, None):
            for column, part in zip(whole, rows, strict=True):
                column[m - len(part) : m] = part
            m -= len(rows.s)
        return whole


class Ask(NamedTuple):
    """What a pass is asked for one minimum."""

    output: int
    low: float
    high: float
    held: Floats
    """(p,) in the units of the columns' scale, where rows within the width are kept, and the others are held on their side."""
    width: float
    at: Floats
    """(p,) where it is looked whether they are still there."""
    touched: bool = False
    """Whether those that are at their target there are asked for as well."""


class Told(NamedTuple):
    """What a pass tells: rows, and sums over all others."""

    rows: list[Rows]
    slope: Floats
    """(p,) Σ s·ℓ'·z, z divided by the scale."""
    loss: float
    """Σ s·ℓ of all rows."""
    doubt: float
    """What of it may be rounding, where rows that a line stands for are at their target."""
    n: int
    """How many rows there are."""


def joined(a: list[Told], b: list[Told]) -> list[Told]:
    """Of rows and those that follow them."""
    return [_joined(mine, its) for mine, its in zip(a, b, strict=True)]


def _joined(a: Told, b: Told) -> Told:
    later = [rows._replace(numbers=rows.numbers + a.n) for rows in b.rows]
    return Told(a.rows + later, a.slope + b.slope, a.loss + b.loss, a.doubt + b.doubt, a.n + b.n)


def _read(piece: Piece, mean: Floats | None) -> tuple[Floats, Floats, Floats]:
    """z, y (m, k) and s of all rows."""
    x = np.asarray(piece.X, np.float64)
    if mean is not None:
        z = np.empty((len(x), x.shape[1] + 1))
        np.subtract(x, mean, out=z[:, :-1])
        z[:, -1] = 1.0
    else:
        z = np.ascontiguousarray(x)
    return z, np.asarray(piece.Y, np.float64), piece.weights


def sampled(piece: Piece, n_threads: int, *, mean: Floats | None, scale: Floats, stride: int) -> list[Told]:
    """Every so-manieth row, with all outputs."""
    rows = slice(None, None, stride)
    s = None if piece.sample_weight is None else piece.sample_weight[rows]
    z, y, s = _read(piece._replace(X=piece.X[rows], Y=piece.Y[rows], sample_weight=s), mean)
    used = np.flatnonzero(s > 0)
    chosen = Rows(z[used] / scale, y[used], s[used], used * stride)
    return [Told([chosen], np.zeros(z.shape[1]), 0.0, 0.0, len(piece.X))]


def near(piece: Piece, n_threads: int, *, mean: Floats | None, scale: Floats, asks: list[Ask]) -> list[Told]:
    """The rows within a width of their target, and the sum of the others' slopes."""
    z, y, s = _read(piece, mean)
    residuals = _residuals(z, y, asks, [ask.held / scale for ask in asks])
    slopes, kept = np.empty(residuals.shape), []
    for r, slope, ask in zip(residuals, slopes, asks, strict=True):
        slope[:] = np.where(r > 0, ask.high, ask.low)
        slope *= s
        close = np.flatnonzero(np.abs(r) <= ask.width)
        slope[close] = 0.0
        kept.append(_rows(z, y, s, close[s[close] > 0], ask, scale))
    return [Told([rows], line / scale, 0.0, 0.0, len(s)) for rows, line in zip(kept, slopes @ z, strict=True)]


def gone(piece: Piece, n_threads: int, *, mean: Floats | None, scale: Floats, asks: list[Ask]) -> list[Told]:
    """The rows that were not within the width of their target, and are now on its other side; and the loss."""
    z, y, s = _read(piece, mean)
    then, now = (_residuals(z, y, asks, at) for at in ([ask.held / scale for ask in asks], [ask.at / scale for ask in asks]))
    result = []
    for before, r, ask in zip(then, now, asks, strict=True):
        most = float(np.abs(r).max(initial=0.0))
        some = np.flatnonzero(np.where(before > 0, r, -r) <= 1e-6 * most)
        some = some[(np.abs(before[some]) > ask.width) & (s[some] > 0)]
        wrong, fits = lost(z[some], y[some, ask.output], ask.at / scale, r[some], before[some] > 0)
        value = ask.low * float(s @ r) + (ask.high - ask.low) * float(s @ np.maximum(r, 0.0))
        doubt = (ask.high - ask.low) * float(s[some[fits]] @ np.abs(r[some[fits]]))
        rows = _rows(z, y, s, some[wrong | fits if ask.touched else wrong], ask, scale)
        result.append(Told([rows], np.zeros(z.shape[1]), value, doubt, len(s)))
    return result


def _residuals(z: Floats, y: Floats, asks: list[Ask], at: list[Floats]) -> Floats:
    """(asks, rows)."""
    found: Floats = np.array(at) @ z.T
    found -= y.T[[ask.output for ask in asks]]
    return found


def _rows(z: Floats, y: Floats, s: Floats, which: Array, ask: Ask, scale: Floats) -> Rows:
    return Rows(z[which] / scale, y[which, ask.output], s[which], which)
