"""Several quantiles of one target at once, each exactly, by passes that they share."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from gdcore import losses
from gdcore.checks import must_be, must_have_shape, number
from gdcore.descent.options import Options
from gdcore.descent.problem import Problem
from gdcore.descent.proof import above
from gdcore.facts.curvature import Part
from gdcore.facts.gap import VERTEX
from gdcore.models.linear import Linear
from gdcore.notices import UniquenessWarning, warn
from gdcore.run import History, Method, Run, Settings
from gdcore.solvers import exact_quantile
from gdcore.training import endings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, ArrayLike, Floats
    from gdcore.rows.tables import Piece, Table

_ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of the terms of two predictions: what they may cross by


def quantiles(
    X: ArrayLike | Table,
    Y: ArrayLike | None,
    taus: Sequence[float],
    non_crossing: bool = False,
    sample_weight: ArrayLike | None = None,
    *,
    n_threads: int | None = None,
) -> Run:
    """Linear quantile regression for several τ at once: for each the least mean pinball loss, Σ max(−τr, (1 − τ)r)/n.

    Each τ ends at a vertex, with a proof of its own, as `gdcore.fit` with ``loss="quantile"`` does for one; all τ share their
    passes over the rows (`gdcore.solvers.exact_quantile`).

    Parameters
    ----------
    X : array (n, d), a table or Dask's
        As for `gdcore.fit`.
    Y : array (n,)
        One target; None beside a table that has it.
    taus : sequence of m floats
        Between 0 and 1, each once, in any order.
    non_crossing : bool
        Whether quantiles shall nowhere within the box of the columns' smallest and largest values be in another order than
        their τ. That is looked at, and refused where it is not so: no constraints are solved. Without it quantiles may cross,
        as they do far from the rows that they were fitted to.
    sample_weight : array (n,), optional
        How much each row counts.
    n_threads : int, optional
        Default: as many as there are.

    Returns
    -------
    Run
        ``run.model`` has weights (d, m) and bias (m,), and predicts (n, m), a column a τ in the order of ``taus``;
        ``run.gap`` is an array (m,), what rounding may have left of each loss; ``run.loss`` is the sum of the losses;
        ``run.proof`` is "vertex", and ``run.model.interpolated`` (m, rank) the rows that each passes through. It has no
        history, and cannot be resumed.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was found and what is wanted; with ``non_crossing`` the two τ that cross, and where.
    ArithmeticError
        No vertex was found for these data.

    Warns
    -----
    ConditionWarning
        Columns of X are sums of others, which it names.
    UniquenessWarning
        For some τ other weights are as good.

    >>> x = np.arange(12.0)[:, None]
    >>> run = quantiles(x, x[:, 0] + np.tile([0.0, 1.0, 4.0], 4), [0.1, 0.5, 0.9])
    >>> run.predict([[3.0]]).round(6)
    array([[3., 4., 7.]])
    """
    levels = _levels(taus)
    options = Options(loss=losses.quantile(0.5), sample_weight=sample_weight, n_threads=n_threads)
    problem = Problem.of(X, Y, None, options)
    if problem.target_shape:
        raise ValueError(must_have_shape("Y", "(n,), one target", (problem.n, *problem.target_shape)))
    pinballs = [losses.quantile(level) for level in levels]
    ends = _solved(problem, levels)
    weights, bias = problem.final(
        np.column_stack([end.part.weights[:, 0] for end in ends]),
        np.array([0.0 if end.part.bias is None else end.part.bias[0] for end in ends]),
    )
    model = Linear(weights, bias)
    model.interpolated = np.stack([end.rows for end in ends])
    if problem.table is not None and (card := problem.table.card()) is not None:
        model.columns, model.card = list(problem.table.names), card
    endings.dependent(problem, problem.quadratic.metric)
    if non_crossing:
        _check_order(problem, weights, np.asarray(bias), levels)
    several = [f"{level:g}" for level, end in zip(levels, ends, strict=True) if not end.unique]
    if several:
        warn(f"for τ = {', '.join(several)} the best weights are not unique: others are as good", UniquenessWarning)
    found = [end.loss for end in ends]
    gaps: Floats = np.array([end.gap for end in ends])
    if problem.dtype != np.float64:
        for i, (pinball, end) in enumerate(zip(pinballs, ends, strict=True)):
            rounded = weights[:, i : i + 1], np.asarray(bias)[i : i + 1]
            gaps[i] = above(problem, *rounded, end.loss - end.gap, end.gap, pinball)
            found[i] = end.loss - end.gap + float(gaps[i])
    problem.free()
    method = Method("stream", f"{len(levels)} vertices, found by passes over the rows that they share")
    settings = Settings(repr("newton"), None, None, None)
    facts: dict[str, Any] = {"gap": lambda: (gaps, VERTEX), "spectrum": lambda: None, "spread": lambda: None}
    return Run(
        model, History.empty(), "converged", method, float(np.sum(found)), float("nan"), _no_resume, facts, settings,
        proof="vertex",
    )  # fmt: skip


def _levels(taus: Sequence[float]) -> list[float]:
    wanted = "at least one number between 0 and 1, each once"
    if isinstance(taus, str) or np.ndim(taus) != 1 or not len(taus):
        raise ValueError(must_be("taus", wanted, repr(taus)))
    levels = [number(tau, f"taus[{i}]", above=0, below=1) for i, tau in enumerate(taus)]
    if len(set(levels)) < len(levels):
        raise ValueError(must_be("taus", wanted, repr(taus)))
    return levels


def _solved(problem: Problem, levels: list[float]) -> list[exact_quantile.End]:
    """The end of each, in their order; they are looked for in the order of τ, so that each begins at its neighbour's."""
    quadratic, order = problem.quadratic, np.argsort(levels)
    start = Part((0,), quadratic.weights[:, :1].copy(), None if quadratic.bias is None else quadratic.bias[:1])
    with np.errstate(all="ignore"):
        ends = exact_quantile.ended(problem, [(start, losses.quantile(levels[i])) for i in order])
    if ends is None:
        raise ArithmeticError("no vertex was found for these data: gdcore.fit with loss='quantile' comes near, one τ a call")
    return [ends[i] for i in np.argsort(order)]


def _no_resume(*arguments: object) -> NoReturn:
    raise RuntimeError("a run of several quantiles has ended exactly: there is nothing to go on with")


# Whether quantiles cross ----------------------------------------------------------------------------------------------------


def _check_order(problem: Problem, weights: Array, bias: Array, levels: list[float]) -> None:
    """ValueError where a higher τ predicts less than a lower one somewhere in the box of the columns."""
    low, high = problem.fold(_ends_of_columns, _wider)
    for i, j in itertools.pairwise(np.argsort(levels)):
        steps = (weights[:, j] - weights[:, i]).astype(np.float64)
        x = np.where(steps > 0, low, high)  # where the difference of the two is smallest
        lower, upper = (float(x @ weights[:, c].astype(np.float64)) + float(bias[c]) for c in (i, j))
        terms = float(np.abs(x) @ (np.abs(weights[:, i]) + np.abs(weights[:, j])) + abs(bias[i]) + abs(bias[j]))
        if upper < lower - _ROUNDING * terms:
            where = ", ".join(f"{value:.6g}" for value in x)
            raise ValueError(
                f"the quantiles of τ = {levels[i]:g} and τ = {levels[j]:g} cross within the columns' ranges: at x = ({where}) "
                f"they are {lower:.6g} and {upper:.6g}; non_crossing=True wants quantiles that do not, and does not make them"
            )


def _ends_of_columns(piece: Piece, n_threads: int) -> tuple[Floats, Floats]:
    x = np.asarray(piece.X, np.float64)
    x = x[piece.weights > 0]
    nothing = np.full(x.shape[1], np.inf)
    return np.minimum(nothing, x.min(axis=0, initial=np.inf)), np.maximum(-nothing, x.max(axis=0, initial=-np.inf))


def _wider(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])
