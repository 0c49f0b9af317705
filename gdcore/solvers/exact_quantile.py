"""mae and quantile without a penalty, exactly: at a vertex, found by few of the rows and proved on all of them.

The rows stay where they are. A sample of about √p·n^⅔ of them is solved; of all rows those near their target at its end are
taken, a line standing for the others (`gdcore.solvers.reduction`); and a pass over all rows says which of these have changed
sides, to be taken in as well. Where none has, the vertex is the end: it passes through as many rows as there are independent
columns, and the dual, λ on these rows and the slope of their side on all others, has the value of the loss. What is said to be
left, `End.gap`, is how the predictions of the rows that fit are rounded, times their slopes.

Several minima, of outputs or of τ, share all passes. Each vertex is at last computed from its rows alone, in their order: its
bits say nothing of how it was found.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.solvers.kinked_passes import Ask, Rows, gone, joined, near, sampled
from gdcore.solvers.reduction import CHEAP, FEW, Lines, solved

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.descent.problem import Problem
    from gdcore.facts.curvature import Frame, Part
    from gdcore.losses import Loss
    from gdcore.solvers.exchange import Vertex
    from gdcore.solvers.kinked_passes import Told

_EPS = float(np.finfo(np.float64).eps)
_WHOLE = 1 << 20  # numbers: rows that have no more are looked at all together
_SURE = 3.0  # standard errors of a share that a sample tells: so far from their target rows are surely above or below
_ROUNDS = 12  # of repair
_PROVED = 1e-9  # of the loss: a vertex that proves no more is none


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


def ended(problem: Problem, wanted: list[tuple[Part, Loss]]) -> list[End] | None:
    """The minimum of each output by its loss; the parts say which output, and where to begin. None where one is not found.

    Of neighbours in the list each begins where the one before it ended on the sample.
    """
    grid = _Grid(problem)
    searches = [_Search(grid, part, loss) for part, loss in wanted]
    if problem.n * grid.p > _WHOLE and not _sampled(grid, searches):
        return None
    for _ in range(_ROUNDS):
        going = [search for search in searches if search.end is None]
        looking = [search for search in going if search.kept is None]
        if looking:
            for search, found in zip(looking, grid.over_rows(near, looking), strict=True):
                search.kept, search.slope = Rows.together(found.rows), found.slope
        if not all(search.descends() for search in going):
            return None
        moved = [search for search in going if search.found is not None and np.isfinite(search.width)]
        told = grid.over_rows(gone, moved) if moved else []
        if not all(search.judge(found) for search, found in zip(moved, told, strict=True)):
            return None
        if all(search.end is not None for search in searches):
            return [search.end for search in searches if search.end is not None]
    return None


class _Grid:
    """What all searches have in common."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.frame = problem, problem.frame
        frame, self.p = self.frame, len(self.frame.plain)
        self.total = problem.moments.total
        self.scale: Floats = np.where(np.diag(frame.plain) > 0, np.sqrt(np.append(frame.spread, 1.0)[: self.p]), 1.0)
        """(p,) of the columns of z: θ is in their units."""
        self.mean = frame.mean if frame.bias else None

    def over_rows(self, part: Callable[..., list[Told]], searches: list[_Search]) -> list[Told]:
        """A pass."""
        return self.problem.fold(
            functools.partial(part, mean=self.mean, scale=self.scale, asks=[one.ask for one in searches]), joined
        )

    def lines(self, some: Rows, slope: Floats, low: float, high: float) -> Lines:
        """The sum over some rows, and what stands for others."""
        size = self.total * (high - low)
        return Lines(some.z, some.y, some.s * low, some.s * high, _apart(some.numbers), slope, size)


class _Search:
    """The way to one minimum."""

    def __init__(self, grid: _Grid, part: Part, loss: Loss) -> None:
        self.grid, self.part = grid, part
        self.low, self.high = loss.sides()
        self.theta: Floats = _coordinates(part, grid.frame) * grid.scale
        self.held, self.width = self.theta, np.inf
        self.kept: Rows | None = None
        """The rows near their target at ``held``; None: a pass has to find them."""
        self.slope: Floats = np.zeros(grid.p)
        self.found: Vertex | None = None
        self.end: End | None = None

    @property
    def ask(self) -> Ask:
        """What a pass has to tell."""
        touched = self.found is not None and not self.found.unique
        return Ask(self.part.outputs[0], self.low, self.high, self.held, self.width, self.theta, touched)

    def begin(self, sample: Rows, start: Floats) -> bool:
        """Where a sample has its minimum, and how near to their target there rows are that may change sides."""
        grid = self.grid
        own = sample._replace(y=np.ascontiguousarray(sample.y[:, self.part.outputs[0]]))
        found = solved(grid.lines(own, self.slope, self.low, self.high), start)
        if found is None:
            return False
        self.held = self.theta = found.theta
        share = 2 * _SURE * np.sqrt(grid.p / 4 / len(own.y))
        width = float(np.quantile(np.abs(found.left), share)) if share < 1 else np.inf
        self.width = max(width, 1e-9 * grid.frame.terms(*_parameters(found.theta / grid.scale, grid.frame)))
        return True

    def descends(self) -> bool:
        """The minimum over the rows that are kept; False where there is none, though these are all."""
        assert self.kept is not None
        self.found = solved(self.grid.lines(self.kept, self.slope, self.low, self.high), self.theta)
        if self.found is None:  # so few rows do not hold θ back
            all_of_them = not np.isfinite(self.width)
            self.width, self.kept = 8 * self.width, None
            return not all_of_them
        self.theta = self.found.theta
        if not np.isfinite(self.width):
            self.end = self._end(self.kept, self.found, None)
            return self.end is not None
        return True

    def judge(self, told: Told) -> bool:
        """Whether all other rows are still on their side; those that are not are taken in. False: the end proves nothing."""
        assert self.kept is not None
        assert self.found is not None
        others = Rows.together(told.rows)
        known = np.sort(self.kept.numbers)
        places = np.minimum(np.searchsorted(known, others.numbers), len(known) - 1)
        others = others.of(known[places] != others.numbers)
        if not len(others.y):
            self.end = self._end(self.kept, self.found, told)
            return self.end is not None
        if len(others.y) <= len(self.kept.y):
            sides = np.where(others.z @ self.held > others.y, self.high, self.low)
            self.slope = self.slope - (sides * others.s) @ others.z
            parts = [self.kept, others]
            self.kept = None
            self.kept = Rows.together(parts)
        else:
            self.held, self.kept = self.theta, None
        return True

    def _end(self, kept: Rows, found: Vertex, told: Told | None) -> End | None:
        """The vertex from its rows alone, and what rounding has left of its loss; None where that is not all that is left."""
        grid, low, high = self.grid, self.low, self.high
        order = np.argsort(kept.numbers[found.basis])
        basis = found.basis[order]
        at = _through(kept.z[basis], kept.y[basis], found.theta)
        weights, bias = _parameters(at / grid.scale, grid.frame)
        r = kept.z @ at - kept.y
        some = np.flatnonzero(np.abs(r) <= 1e-6 * np.abs(r).max(initial=0.0))
        some = np.union1d(some, basis)  # only these may fit
        error = (len(at) + 2) * _EPS * (np.abs(kept.z[some]) @ np.abs(at) + np.abs(kept.y[some]))
        if bias is not None:
            error += 2 * _EPS * float(abs(bias[0]) + np.abs(grid.frame.mean) @ np.abs(weights[:, 0]))
        fits = (np.abs(r[some]) <= error) | np.isin(some, basis)
        some, error = some[fits], error[fits]
        value = float(kept.s @ np.maximum(low * r, high * r)) if told is None else told.loss
        rounding = float(np.sum((high - low) * kept.s[some] * error))
        left = float(np.sum(np.abs(np.where(r > 0, high, low) * kept.s - found.slopes) * np.abs(r)))  # primal − dual
        left += float(found.excess.sum()) * float(np.median(np.abs(r)))
        if left > 8 * rounding + _PROVED * value:
            return None  # rows that fit but for what nearly dependent columns round do not
        left += rounding
        left += 0.0 if told is None else told.doubt
        part, away = self.part._replace(weights=weights, bias=bias), np.abs(np.delete(r, some))
        width = float(away.min()) if len(away) else 0.0
        return End(part, kept.numbers[basis], left / grid.total, value / grid.total, found.unique, width)


def _sampled(grid: _Grid, searches: list[_Search]) -> bool:
    """Begins all searches on a sample; False where one finds nothing there."""
    n, p = grid.problem.n, grid.p
    m = max(FEW * p + CHEAP, int(np.sqrt(p) * n ** (2 / 3)))
    [told] = grid.problem.fold(functools.partial(sampled, mean=grid.mean, scale=grid.scale, stride=max(1, n // m)), joined)
    sample = Rows.together(told.rows)
    ends: dict[int, Floats] = {}
    for search in searches:
        output = search.part.outputs[0]
        if not search.begin(sample, ends.get(output, search.theta)):
            return False
        ends[output] = search.theta
    return True


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


def _apart(numbers: Array) -> Floats:
    """(m,) numbers between 1 and 2 without order, which follow from the rows' (a multiplication hash, mixed twice)."""
    x = numbers.astype(np.uint64) + np.uint64(1)
    for _ in range(2):
        x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    mixed: Floats = 1.0 + ((x ^ (x >> np.uint64(29))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return mixed


def _through(B: Floats, y: Floats, theta: Floats) -> Floats:
    """θ that makes B·θ = y, as near to the θ that is known to do so but for rounding as dependent columns let it be."""
    found: Floats = np.asarray(np.linalg.solve(B, y), np.float64) if B.shape[0] == B.shape[1] else theta
    for _ in range(2):
        found = found + np.linalg.lstsq(B, y - B @ found, rcond=None)[0]
    return found
