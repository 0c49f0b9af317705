"""The second moments of each fold, from one pass over the rows; and those of all rows but a fold's, without another.

Rows of a fold are brought together piece by piece, so that a pass costs what one without folds does, and a copy of the rows in
a cache. Every fold's moments are kept about its own means, and all means as what they are beyond one origin: of means of 10⁷
and spreads of 1 rounding would leave eight digits of how far two folds lie apart. Those of a training part are the other
folds' moments added up (Chan, Golub and LeVeque 1979), never all of them less the fold's: a difference would keep few digits
of what is left.
"""

from __future__ import annotations

import itertools
import operator
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.paths.rows import numbered
from gdcore.rows.moments import Moments, engine_for, first_means
from gdcore.rows.tables import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Floats
    from gdcore.paths.folds import Folds
    from gdcore.rows.tables import Table

_PASSES = 3  # a fold whose first rows are like no others of it is measured again, about its mean


class _Sums(NamedTuple):
    """Of a fold, as far as the pass has come."""

    shift: Floats
    sums: Floats
    rows: int


def of_folds(table: Table, folds: Folds, n_threads: int) -> tuple[list[Moments], Floats]:
    """The moments of [X, Y] − origin of every fold, and the origin, in float64 whatever the table is; Y is one column."""
    d = len(table.names)
    shifts: dict[int, Floats] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_PASSES):
            found = _pass(table, folds, n_threads, shifts)
            shifts = {k: of.shift for k, of in found.items()}
            true = {k: Moments.settled(of.sums, of.shift, d, of.rows) for k, of in found.items()}
            far = {k: m.mean for k, m in true.items() if m.far_from(shifts[k])}
            if not far:
                break
            shifts |= far
        origin = next((of.shift for of in found.values()), np.zeros(d + 1))
        moments = {k: Moments.settled(of.sums, of.shift - origin, d, of.rows) for k, of in found.items()}
    return [moments.get(k, Moments.of_nothing(d, d + 1, 0)) for k in range(folds.count)], origin


def _pass(table: Table, folds: Folds, n_threads: int, shifts: dict[int, Floats]) -> dict[int, _Sums]:
    """One pass; of folds that have weight. A fold's own shift, where there is none, is the mean of its first rows."""
    shifts = dict(shifts)
    found: dict[int, _Sums] = {}
    for parts in _by_piece(table, folds, n_threads, shifts):
        for k, (sums, rows) in parts.items():
            before = found.get(k)
            if before is not None:
                largest = max(before.sums[0], sums[0])
                sums, rows = before.sums + sums, before.rows + rows
                sums[0] = largest
            found[k] = _Sums(shifts[k], sums, rows)
    return found


def _by_piece(
    table: Table, folds: Folds, n_threads: int, shifts: dict[int, Floats]
) -> Iterator[dict[int, tuple[Floats, int]]]:
    """What `_sums` gives for each piece, in their order; once all shifts are known, of so many pieces at a time."""
    engine = engine_for(len(table.names) + 1, "kernel")
    alone = n_threads == 1 or engine is not BACKENDS["kernel"]  # BLAS has threads of its own
    waiting: deque[Future[dict[int, tuple[Floats, int]]]] = deque()
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="gdcore-folds")
    try:
        for start, piece in numbered(table):
            if alone or len(shifts) < folds.count:
                yield _sums(piece, start, folds, engine, shifts)
                continue
            waiting.append(pool.submit(_sums, piece, start, folds, engine, shifts))
            if len(waiting) > 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sums(piece: Piece, start: int, folds: Folds, engine: Any, shifts: dict[int, Floats]) -> dict[int, tuple[Floats, int]]:
    """The backend's sums of a piece's rows of each fold, and how many these are."""
    found = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for k, (X, Y, s) in _by_fold(piece, start, folds):
            if s is not None and not s.any():
                continue
            if k not in shifts:
                shifts[k] = first_means(X, Y, s)
            found[k] = engine.moments(X, Y, s, shifts[k], 1), len(X)
    return found


def _by_fold(piece: Piece, start: int, folds: Folds) -> Iterator[tuple[int, Piece]]:
    """The piece's rows of each fold, in their order, in float64 and row by row in memory."""
    numbers = folds.of(start, len(piece.X))
    order = np.argsort(numbers, kind="stable")
    X, Y, s = (None if a is None else np.take(a, order, axis=0).astype(np.float64, copy=False) for a in piece)
    assert X is not None
    assert Y is not None
    bounds = np.searchsorted(numbers[order], np.arange(folds.count + 1))
    for k, (low, high) in enumerate(itertools.pairwise(bounds.tolist())):
        if low < high:
            yield k, Piece(X[low:high], Y[low:high], None if s is None else s[low:high])


def without_each(moments: list[Moments]) -> Iterator[Moments]:
    """Of every fold what the others add up to."""
    after = list(itertools.accumulate(reversed(moments), operator.add))[::-1]
    before: Moments | None = None
    for k, own in enumerate(moments):
        rest = [part for part in (before, after[k + 1] if k + 1 < len(after) else None) if part is not None]
        yield rest[0] if len(rest) == 1 else rest[0] + rest[1]
        before = own if before is None else before + own
