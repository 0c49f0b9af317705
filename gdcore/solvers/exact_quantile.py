"""mae and quantile without a penalty, exactly: at a vertex, found by few of the rows and proved on all of them.

The rows stay where they are. A sample of about √p·n^⅔ of them is solved; of all rows those near their target at its end are
taken, a line standing for the others (`gdcore.solvers.reduction`); and a pass over all rows says which of these have changed
sides, to be taken in as well. Where none has, the vertex is the end: it passes through as many rows as there are independent
columns, and the dual, λ on these rows and the slope of their side on all others, has the value of the loss. What is said to be
left, `End.gap`, is how the predictions of the rows that fit are rounded, times their slopes.

The vertex is at last computed from its rows alone, in their order: its bits say nothing of how it was found.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.solvers.reduction import CHEAP, FEW, Lines, lost, solved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gdcore._types import Array, Floats
    from gdcore.descent.problem import Problem
    from gdcore.facts.curvature import Frame, Part
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece
    from gdcore.solvers.exchange import Vertex

_EPS = float(np.finfo(np.float64).eps)
_WHOLE = 1 << 20  # numbers: rows that have no more are looked at all together
_SURE = 3.0  # standard errors of a share that a sample tells: so far from their target rows are surely above or below
_ROUNDS = 12  # of repair


class Rows(NamedTuple):
    """Some rows."""

    z: Floats
    """(m, p): [x − μ, 1], or x."""
    y: Floats
    s: Floats
    numbers: Array
    """(m,) from 0."""

    def of(self, which: Array) -> Rows:
        """Some of them."""
        return Rows(*(column[which] for column in self))

    @classmethod
    def together(cls, parts: Sequence[Rows]) -> Rows:
        """One after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Told(NamedTuple):
    """What a pass tells: rows, and sums over all others."""

    rows: tuple[Rows, ...]
    slope: Floats
    """(p,) Σ s·ℓ'·z."""
    loss: float
    """Σ s·ℓ of all rows."""
    doubt: float
    """What of it may be rounding, where rows that a line stands for are at their target."""
    n: int
    """How many rows there are."""


class End(NamedTuple):
    """The minimum."""

    part: Part
    rows: Array
    """(rank,) numbers of the rows that it passes through, ascending."""
    gap: float
    """What rounding may have left of the loss."""
    loss: float
    unique: bool
    width: float
    """The distance of the nearest row that does not fit; 0 where all do."""


def ended(problem: Problem, part: Part, frame: Frame) -> End | None:
    """The minimum of one output; ``part`` says which, and where to begin. None where none is found."""
    loss, total, p = problem.loss_function, problem.moments.total, len(frame.plain)
    scale = np.where(np.diag(frame.plain) > 0, np.sqrt(np.append(frame.spread, 1.0)[:p]), 1.0)
    fold: Callable[..., Told] = functools.partial(problem.fold, add=joined)
    look = functools.partial(functools.partial, mean=frame.mean if frame.bias else None, output=part.outputs[0], loss=loss)
    lines = functools.partial(_lines, scale=scale, loss=loss, total=total)
    theta, width, n = _coordinates(part, frame) * scale, np.inf, problem.n
    if n * p > _WHOLE:
        m = max(FEW * p + CHEAP, int(np.sqrt(p) * n ** (2 / 3)))
        sample = Rows.together(fold(look(_sampled, stride=max(1, n // m))).rows)
        first = solved(lines(sample, np.zeros(p)), theta)
        if first is None:
            return None
        theta = first.theta
        share = 2 * _SURE * np.sqrt(p / 4 / len(sample.y))
        width = float(np.quantile(np.abs(first.left), min(1.0, share))) if share < 1 else np.inf
        width = max(width, 1e-9 * frame.terms(*_parameters(theta / scale, frame)))
    held, low, high = theta, *loss.sides()
    kept, slope = _kept(fold(look(_near, at=held / scale, width=width)))
    for _ in range(_ROUNDS):
        found = solved(lines(kept, slope / scale), theta)
        if found is None and np.isfinite(width):  # so few rows do not hold θ back
            width *= 8
            kept, slope = _kept(fold(look(_near, at=held / scale, width=width)))
            continue
        if found is None:
            return None
        theta = found.theta
        if not np.isfinite(width):
            return _end(kept, found, part, frame, scale, problem, None)
        told = fold(look(_lost, held=held / scale, at=theta / scale, width=width, touched=not found.unique))
        others = Rows.together(told.rows)
        others = others.of(~np.isin(others.numbers, kept.numbers))
        if not len(others.y):
            return _end(kept, found, part, frame, scale, problem, told)
        if len(others.y) <= len(kept.y):
            kept = _taken_in(kept, others)
            slope = slope - (np.where(others.z @ (held / scale) - others.y > 0, high, low) * others.s) @ others.z
        else:
            held = theta
            kept, slope = _kept(fold(look(_near, at=held / scale, width=width)))
    return None


def _kept(told: Told) -> tuple[Rows, Floats]:
    return Rows.together(told.rows), told.slope


# What passes tell -----------------------------------------------------------------------------------------------------------


def joined(a: Told, b: Told) -> Told:
    """Of rows and those that follow them."""
    later = tuple(rows._replace(numbers=rows.numbers + a.n) for rows in b.rows)
    return Told(a.rows + later, a.slope + b.slope, a.loss + b.loss, a.doubt + b.doubt, a.n + b.n)


def _read(piece: Piece, mean: Floats | None, output: int) -> tuple[Floats, Floats, Floats]:
    """z, y and s of all rows."""
    x = np.asarray(piece.X, np.float64)
    if mean is not None:
        z = np.empty((len(x), x.shape[1] + 1))
        np.subtract(x, mean, out=z[:, :-1])
        z[:, -1] = 1.0
    else:
        z = np.ascontiguousarray(x)
    return z, np.ascontiguousarray(piece.Y[:, output], np.float64), piece.weights


def _sampled(piece: Piece, n_threads: int, *, mean: Floats | None, output: int, loss: Loss, stride: int) -> Told:
    """Every so-manieth row."""
    rows = slice(None, None, stride)
    s = None if piece.sample_weight is None else piece.sample_weight[rows]
    z, y, s = _read(piece._replace(X=piece.X[rows], Y=piece.Y[rows], sample_weight=s), mean, output)
    used = np.flatnonzero(s > 0)
    return Told((Rows(z[used], y[used], s[used], used * stride),), np.zeros(z.shape[1]), 0.0, 0.0, len(piece.X))


def _near(piece: Piece, n_threads: int, *, mean: Floats | None, output: int, loss: Loss, at: Floats, width: float) -> Told:
    """The rows within a width of their target."""
    z, y, s = _read(piece, mean, output)
    r = z @ at - y
    near = np.abs(r) <= width
    low, high = loss.sides()
    slope = np.where(near, 0.0, np.where(r > 0, high, low)) * s
    rows = np.flatnonzero(near & (s > 0))
    return Told((Rows(z[rows], y[rows], s[rows], rows),), slope @ z, 0.0, 0.0, len(y))


def _lost(
    piece: Piece, n_threads: int, *, mean: Floats | None, output: int, loss: Loss, held: Floats, at: Floats, width: float,
    touched: bool,
) -> Told:  # fmt: skip
    """The rows that were not within the width of their target, and are now on its other side, or with ``touched`` at it."""
    z, y, s = _read(piece, mean, output)
    before, r = (z @ np.column_stack([held, at]) - y[:, None]).T
    low, high = loss.sides()
    wrong, fits = lost(z, y, at, r, before > 0)
    outside = (np.abs(before) > width) & (s > 0)
    rows = np.flatnonzero(outside & (wrong | fits if touched else wrong))
    value = float(s @ np.maximum(low * r, high * r))
    doubt = (high - low) * float(s[outside & fits] @ np.abs(r[outside & fits]))
    return Told((Rows(z[rows], y[rows], s[rows], rows),), np.zeros(z.shape[1]), value, doubt, len(y))


def _taken_in(kept: Rows, more: Rows) -> Rows:
    """With more rows, all in their order."""
    both = Rows.together([kept, more])
    return both.of(np.argsort(both.numbers))


# Coordinates ----------------------------------------------------------------------------------------------------------------


def _coordinates(part: Part, frame: Frame) -> Floats:
    """(p,) w, and b + μ·w."""
    w = part.weights[:, 0]
    return w if part.bias is None else np.append(w, part.bias[0] + frame.mean @ w)


def _parameters(at: Floats, frame: Frame) -> tuple[Floats, Floats | None]:
    """(d, 1) and (1,)."""
    if not frame.bias:
        return at[:, None], None
    w = at[:-1]
    return w[:, None], np.array([at[-1] - frame.mean @ w])


def _lines(some: Rows, slope: Floats, scale: Floats, loss: Loss, total: float) -> Lines:
    low, high = loss.sides()
    size = total * (high - low)
    return Lines(some.z / scale, some.y, some.s * low, some.s * high, _apart(some.numbers), slope, size)


def _apart(numbers: Array) -> Floats:
    """(m,) numbers between 1 and 2 without order, which follow from the rows' (a multiplication hash, mixed twice)."""
    x = numbers.astype(np.uint64) + np.uint64(1)
    for _ in range(2):
        x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    mixed: Floats = 1.0 + ((x ^ (x >> np.uint64(29))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return mixed


# The end --------------------------------------------------------------------------------------------------------------------


def _end(kept: Rows, found: Vertex, part: Part, frame: Frame, scale: Floats, problem: Problem, told: Told | None) -> End:
    """The vertex from its rows alone, and what rounding has left of its loss."""
    order = np.argsort(kept.numbers[found.basis])
    basis = found.basis[order]
    at = _through(kept.z[basis] / scale, kept.y[basis], found.theta) / scale
    weights, bias = _parameters(at, frame)
    low, high = problem.loss_function.sides()
    total = problem.moments.total
    r = kept.z @ at - kept.y
    error = (len(at) + 2) * _EPS * (np.abs(kept.z) @ np.abs(at) + np.abs(kept.y))
    if bias is not None:
        error += 2 * _EPS * float(abs(bias[0]) + np.abs(frame.mean) @ np.abs(weights[:, 0]))
    fits = np.abs(r) <= error
    fits[basis] = True
    side = np.where(r > 0, high, low) * kept.s
    left = float(np.sum(np.abs(side - found.slopes)[fits] * np.abs(r[fits]) + (high - low) * (kept.s * error)[fits]))
    left += float(found.excess.sum()) * float(np.median(np.abs(r)))
    away = np.abs(r[~fits])
    value = float(kept.s @ np.maximum(low * r, high * r)) if told is None else told.loss
    left += 0.0 if told is None else told.doubt
    return End(
        part._replace(weights=weights, bias=bias),
        kept.numbers[basis],
        left / total,
        value / total,
        found.unique,
        float(away.min(initial=np.inf)) if len(away) else 0.0,
    )


def _through(B: Floats, y: Floats, theta: Floats) -> Floats:
    """θ that makes B·θ = y, as near to the θ that is known to do so but for rounding as dependent columns let it be."""
    found: Floats = np.asarray(np.linalg.solve(B, y), np.float64) if B.shape[0] == B.shape[1] else theta
    for _ in range(2):
        found = found + np.linalg.lstsq(B, y - B @ found, rcond=None)[0]
    return found
