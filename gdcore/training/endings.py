"""What is told of how a run has ended, where its status alone would be read as better than it is."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore import notices
from gdcore.facts import dependence
from gdcore.facts.metric import covariance
from gdcore.messages import Message, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Floats
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.descent.proof import Corner
    from gdcore.facts.metric import Metric

_ELSEWHERE: ContextVar[bool] = ContextVar("elsewhere", default=False)
_NAMED = 5  # columns at most
_REMEDY = ("; drop columns, or give ", Option("l2"), " a value")
_PART = 0.1  # of the largest: columns that take so much part in a separation are named


@contextmanager
def unfinished_told_elsewhere() -> Iterator[None]:
    """Who calls `gdcore.fit` here tells in words of its own that a run has not converged."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


class Ending(NamedTuple):
    """How a run has ended."""

    status: str
    stalled: bool
    """Whether no step lowered the loss any more."""
    done: int
    """Epochs of this call."""
    epochs: int
    """Since the first start."""
    loss: float
    metric: Metric | None
    """Of the columns' second moments, where the descent had it."""
    separating: list[Floats]
    """Of outputs whose classes are separated: the step that goes on for ever."""
    corner: Corner | None
    """Where the loss has kinks, and its minimum was found at one."""


def warn(problem: Problem, plan: Plan, end: Ending) -> None:
    """Warns of columns that depend on others, of separated classes, and of a run that wanted to converge and has not."""
    if end.metric is not None and not problem.penalty.kinked and problem.l2 == 0 and end.done:
        dependent(problem, end.metric)
    if end.separating:
        apart = "rows whose target is 0 are told apart" if problem.loss_function.numeric else "the classes are separated"
        what = (
            f"{apart}, {_columns(problem, end.separating)}: there are no best weights, for larger ones are always better; "
            "those of this model have grown until no loss was left to gain; an l2 penalty, as "
        )
        notices.warn(Message(what, Option("l2", 0.01), ", gives finite ones"), notices.SeparationWarning)
    if end.corner is not None and not end.corner.unique.all() and end.done:
        _one_of_several(end.corner)
    asked = problem.linear or not plan.tol_by_default  # of a network nothing is proved: its epochs are what was wanted
    if end.status != "epochs" or not plan.tol or not end.done or not asked or _ELSEWHERE.get():
        return
    why = "no step lowers the loss any more: rounding ends it" if end.stalled else "more epochs may help"
    after = f"{end.epochs:,} epoch{'s' if end.epochs > 1 else ''}"
    notices.warn(
        f"the fit has not converged after {after}: that the loss {end.loss:.6g} is "
        f"within tol of the best one is not proved; {why}",
        notices.ConvergenceWarning,
    )


def _one_of_several(corner: Corner) -> None:
    """Other weights have the same loss, and other predictions."""
    several = [str(output) for output in np.flatnonzero(corner.unique == 0)]
    of = f" of output{'s' if len(several) > 1 else ''} {', '.join(several)}" if len(corner.unique) > 1 else ""
    notices.warn(
        f"the best weights{of} are not unique: along an edge from these the loss stays the same, which is proved to be the "
        "least; other software may end elsewhere on it",
        notices.UniquenessWarning,
    )


def dependent(problem: Problem, metric: Metric) -> None:
    """Warns of dependent columns: their weights are one choice of many; of nearly dependent ones they are rounding."""
    blurred = not metric.clear or (problem.squared and not problem.clear)
    if not blurred and not metric.null.shape[1]:
        return
    moments, table = problem.moments.of_columns(), problem.table
    found = dependence.dependent(moments, problem.has_bias, blurred)
    if table is not None and table.tells_constants:
        C, _ = covariance(moments, problem.has_bias)
        found = [one for one in found if C[one.column, one.column] > 0]
    which = dependence.told(found, problem.has_bias, None if table is None else table.names)
    if blurred:
        condition = f" (condition {metric.condition:.2g}, scaled)" if np.isfinite(metric.condition) else ""
        but = f": but for rounding, {which}" if which else ""
        what = f"the columns of X are so nearly dependent{condition} that {problem.dtype} cannot tell the weights apart{but}. "
        notices.warn(Message(what, "Nothing is proved of the weights", *_REMEDY), notices.ConditionWarning)
    elif found:
        what = f"{len(found)} of {problem.d} columns of X depend on others: {which}. Other weights fit as well as these"
        notices.warn(Message(what, *_REMEDY), notices.ConditionWarning)


def _columns(problem: Problem, separating: list[Floats]) -> str:
    """By which columns."""
    spread = problem.moments.of_columns().deviations
    moves = np.max([np.abs(step[:, : len(spread)]).max(axis=0) * spread for step in separating], axis=0)
    order = np.argsort(-moves, kind="stable")[:_NAMED]
    found = [int(j) for j in order if moves[j] > _PART * moves[order[0]]]
    if not found:
        return "by the bias alone, as " + ("all are" if problem.loss_function.numeric else "one class has all the weight")
    table = problem.table
    names = [str(j) if table is None else str(table.names[j]) for j in found]
    return f"by column{'s' if len(names) > 1 else ''} {', '.join(names)}{' of X' if table is None else ''}"
