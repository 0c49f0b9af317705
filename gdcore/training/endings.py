"""What is told of how a run has ended, where its status alone would be read as better than it is."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np

from gdcore.facts import dependence
from gdcore.facts.metric import covariance
from gdcore.notices import ConditionWarning, ConvergenceWarning, SeparationWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Floats
    from gdcore.facts.metric import Metric
    from gdcore.training.loop import Training

_ELSEWHERE: ContextVar[bool] = ContextVar("elsewhere", default=False)
_NAMED = 5  # columns at most
_PART = 0.1  # of the largest: columns that take so much part in a separation are named


@contextmanager
def unfinished_told_elsewhere() -> Iterator[None]:
    """Who calls `gdcore.fit` here tells in words of its own that a run has not converged."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def warn(t: Training, status: str, stalled: bool, metric: Metric | None, separating: list[Floats]) -> None:
    """Warns of columns that depend on others, of separated classes, and of a run that wanted to converge and has not.

    ``metric`` is that of the columns' second moments, where the descent had it.
    """
    depth = t.depth - 1
    if metric is not None and t.l1 == 0 and t.l2 == 0 and t.done:
        _dependent(t, metric, depth + 1)
    if separating:
        warnings.warn(
            f"the classes are separated, {_columns(t, separating)}: there are no best weights, for larger ones are always "
            "better; those of this model have grown until no loss was left to gain. An l2 penalty gives finite ones",
            SeparationWarning,
            stacklevel=depth,
        )
    asked = t.linear or t.options.tol is not None  # of a network nothing is proved: its epochs are what was wanted
    if status != "epochs" or not t.tol or not t.done or not asked or _ELSEWHERE.get():
        return
    done = t.first + t.done
    why = "no step lowers the loss any more: rounding ends it" if stalled else "more epochs may help"
    warnings.warn(
        f"the fit has not converged after {done:,} epoch{'s' if done > 1 else ''}: that the loss {t.loss:.6g} is "
        f"within tol of the best one is not proved; {why}",
        ConvergenceWarning,
        stacklevel=depth,
    )


def _dependent(t: Training, metric: Metric, depth: int) -> None:
    """Weights of dependent columns are one choice of many; of nearly dependent ones they are rounding."""
    if not metric.clear or (t.squared and not t.clear):
        warnings.warn(
            f"the columns of X are so nearly dependent (condition {metric.condition:.2g}, scaled) that {t.X.dtype} cannot "
            "tell the weights apart: nothing is proved of them; drop columns, or give l2 a value",
            ConditionWarning,
            stacklevel=depth,
        )
    elif metric.null.shape[1]:
        found = dependence.dependent(t.moments.of_columns(), t.has_bias)
        if t.table and t.X.tells_constants:
            C, _ = covariance(t.moments.of_columns(), t.has_bias)
            found = [one for one in found if C[one.column, one.column] > 0]
        if not found:
            return
        which = dependence.told(found, t.has_bias, t.X.names if t.table else None)
        warnings.warn(
            f"{len(found)} of {t.d} columns of X depend on others: {which}. Other weights fit as well as "
            "these; drop columns, or give l2 a value",
            ConditionWarning,
            stacklevel=depth,
        )


def _columns(t: Training, separating: list[Floats]) -> str:
    """By which columns."""
    moments = t.moments.of_columns()
    spread = np.sqrt(np.diag(moments.scatter) / moments.total)
    moves = np.max([np.abs(step[:, : len(spread)]).max(axis=0) * spread for step in separating], axis=0)
    order = np.argsort(-moves, kind="stable")[:_NAMED]
    found = [int(j) for j in order if moves[j] > _PART * moves[order[0]]]
    if not found:
        return "by the bias alone, as one class has all the weight"
    names = [str(t.X.names[j]) if t.table else str(j) for j in found]
    return f"by column{'s' if len(names) > 1 else ''} {', '.join(names)}{'' if t.table else ' of X'}"
