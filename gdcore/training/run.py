"""One call of `gdcore.fit`: a problem, its plan, the descent, and the run that comes of it."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.checks import integer, must_be
from gdcore.descent.course import Course
from gdcore.descent.plan import choose, plan
from gdcore.descent.problem import Problem
from gdcore.descent.state import State
from gdcore.descent.stop import Stop
from gdcore.facts import scales
from gdcore.run import MOST_EPOCHS, DivergenceError, History
from gdcore.solvers import SOLVERS
from gdcore.training import endings, limits
from gdcore.training.conclusion import Conclusion, Task
from gdcore.training.drive import Drive
from gdcore.training.observe import Functions, Observer, Watcher
from gdcore.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import ArrayLike
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.options import Options
    from gdcore.descent.plan import Plan
    from gdcore.models.linear import Linear
    from gdcore.models.mlp import MLP
    from gdcore.rows.tables import Table
    from gdcore.run import Method, Run
    from gdcore.solvers.base import Solver
    from gdcore.training.checkpoints import Keeper, Stored


@dataclass(frozen=True)
class Before:
    """What a run goes on from."""

    history: History
    state: State[Any] | None = None
    method: Method | None = None
    """Where it is kept."""
    models: list[Any] | None = None

    @property
    def epochs(self) -> int:
        """The number of the last epoch."""
        return int(self.history.epoch[-1]) if len(self.history) else 0


def run(
    X: ArrayLike | Table, Y: ArrayLike | None, model: Linear | MLP | None, options: Options, epochs: int | Sequence[int],
    keeper: Keeper | None = None,
) -> Run:  # fmt: skip
    """What `gdcore.fit` does: ``epochs`` epochs; with a keeper so many in all, after those that it has stored."""
    options = options.checked()
    return _run(Problem.of(X, Y, model, options), options, epochs, Before(History.empty()), keeper)


def resumed(
    task: Task, state: State[Any], run: Run, X: ArrayLike | Table, Y: ArrayLike | None, epochs: int, changes: dict[str, Any]
) -> Run:
    """What `Run.resume` does: a run that goes on from a task's."""
    model = changes.pop("model", None)
    unknown = set(changes) - set(type(task.options)._fields)
    if unknown:
        raise TypeError(f"resume() got an unexpected keyword argument {min(unknown)!r}")
    options = task.options._replace(**changes).checked()
    problem, dtype = Problem.of(X, Y, run.model if model is None else model, options), task.problem.dtype
    keep = options.method == "auto" and "method" not in changes
    state = state.copy()
    if problem.dtype != dtype:
        raise TypeError(
            f"the run that shall go on is of {dtype}, but X is {problem.dtype}: give X.astype('{dtype}'), "
            "or begin anew with fit(X, Y, run.model)"
        )
    if state.judged is not None and (model is not None or not task.problem.same_as(problem)):
        state.judged = None
    if model is not None:
        weights, bias = model.parameters(dtype)
        state.weights = weights.astype(state.weights.dtype)
        state.bias = None if bias is None else bias.astype(state.weights.dtype)
    before = Before(run.history, state, task.plan.method if keep else None, run.models)
    return _run(problem, options, epochs, before, None, task.plan)


def _run(
    problem: Problem, options: Options, epochs: int | Sequence[int], before: Before, keeper: Keeper | None,
    former: Plan | None = None,
) -> Run:  # fmt: skip
    """Epochs after those before; ``former`` is the plan by which these went."""
    given = options.validation
    validation = None if given is None else Validation.of(given, problem, options.patience)
    choice = choose(problem, options)
    if former is not None and choice.optimizer.rule != former.optimizer.rule:
        raise ValueError(
            f"the run that shall go on went by {former.optimizer!r}, whose state {choice.optimizer!r} cannot go on with: "
            "begin anew with fit(X, Y, run.model, optimizer=...)"
        )
    asked, in_all = _counted(epochs, before.epochs, options.method)
    count, stored, case = in_all, None, None
    if keeper is not None:
        from gdcore.training.checkpoints import Case

        case = Case(problem, choice, options, validation)
        stored = keeper.open(case)
    if stored is not None:
        count = max(0, in_all - stored.epoch)
        asked = None if asked is None else tuple(epoch - stored.epoch for epoch in asked if epoch > stored.epoch)
        before = Before(stored.history, method=stored.method)
    planned = plan(problem, options, count, asked, before.method, choice)
    if problem.table is not None and planned.method == "stream":
        problem.table.keep()
    solver = SOLVERS[planned.solver](problem, planned, Stop(problem, planned))
    state = _first(problem, planned, solver, before, stored)
    state, found = solver.begin(state, before.epochs)
    if found.known:
        problem.check_start(state.weights, state.bias, found)
    limit = None if planned.auto else limits.warn(problem, planned, in_all)
    if not problem.linear and not len(before.history):
        X, Y = problem.in_memory
        scales.warn_network(X, Y if problem.loss_function.targets == "real" else None)
    begun, ceiling, history = found.loss, math.inf, before.history
    first = not len(history) and math.isnan(history.start)
    past = stored is None and limit is not None and planned.lr is not None and planned.lr > limit.lr
    if (first or past) and math.isnan(begun):
        # Of batches nothing else asks for it; the pass is as the one after their last epoch.
        begun = problem.objective_at(state.weights, state.bias)
    if first:
        history = History.empty(begun)
    if stored is not None:
        # Of batches the stored loss may be their mean: a learning rate is looked for by that of all rows.
        found = found if planned.searching else found._replace(loss=stored.loss, norm=stored.norm)
        ceiling = stored.ceiling
    elif past:
        ceiling = max(problem.objective_of_zeros(), begun)
    state, status = _status(solver, state, found, stored, options.patience)
    course = Course(history, state, found)
    if keeper is not None and case is not None:
        keeper.begin(case, course, planned.method, ceiling, stored)
    task = Task(problem, options, planned, validation, limit, begun, ceiling)
    return _descend(task, solver, course, status, count, before.models, keeper)


def _descend(
    task: Task, solver: Solver[Any], course: Course[Any], status: str, count: int, models: list[Any] | None,
    keeper: Keeper | None,
) -> Run:  # fmt: skip
    """The epochs, and what follows them."""
    functions = Functions(task.problem, task.options, task.plan.batches, course, models)
    observers: list[Observer] = [] if task.validation is None else [task.validation]
    if functions.functions:
        observers.append(functions)
    watchers: list[Watcher] = [] if keeper is None else [keeper]
    if task.options.progress:
        from gdcore.training.progress import Bar

        watchers.append(Bar(task.options.progress, course.first, course.first + count))
    drive = Drive(solver, course, observers, watchers, task.above, status)
    drive.guarded(functools.partial(drive.epochs, count))
    stalled = drive.status == "stalled"
    if stalled:
        drive.status = "epochs"  # no step lowers the loss: rounding ends it
    resume = functools.partial(resumed, task, course.state)
    end = Conclusion(task, course, drive, keeper, functions, resume)
    if not drive.guarded(end.conclude):
        end.interrupted()
    if end.diverged is not None:
        error = DivergenceError(end.diverged, end.run)
        error.add_note("The run up to there is .run of this error.")
        raise error
    if drive.status not in ("interrupted", "diverged"):
        if course.done:
            limits.ended(task.problem, task.plan, end.run, task.begun)
        metric = solver.metric if task.plan.metric == "gram" else None
        loss, corner = course.now.found.loss, solver.corner(course.state)
        endings.warn(
            task.problem,
            task.plan,
            endings.Ending(drive.status, stalled, course.done, course.epoch, loss, metric, solver.separating, corner),
        )
    return end.run


def _counted(epochs: int | Sequence[int], done: int, method: str) -> tuple[tuple[int, ...] | None, int]:
    """The epochs that the formula shall tell, where they are named, and how many epochs there are to be."""
    asked = None
    if method == "exact" and not isinstance(epochs, int) and np.ndim(epochs) == 1:
        asked = tuple(integer(epoch, "epochs", 1) for epoch in epochs)
        if not asked or any(a >= b for a, b in itertools.pairwise(asked)):
            raise ValueError(must_be("epochs", "a number, or increasing numbers for method 'exact'", repr(epochs)))
        epochs = asked[-1]
    count = integer(epochs, "epochs", 0)
    if count > (most := MOST_EPOCHS - done):
        raise ValueError(must_be("epochs", f"at most {most}", f"{count}"))
    return asked, count


def _first(problem: Problem, plan: Plan, solver: Solver[Any], before: Before, stored: Stored | None) -> State[Any]:
    """The state before the first epoch: a fresh one, or the stored or former one that goes on."""
    # The second moments are float64 whatever X is, and so are the epochs on them, and the steps in a metric.
    dtype = np.dtype(np.float64) if plan.method == "gram" or plan.newton else problem.dtype
    weights, bias = problem.model.parameters(dtype)
    slots, memory = plan.optimizer.slots, None
    if slots:
        kept = np.float64 if plan.preconditioned else dtype
        memory = np.full((slots, problem.model.state_size), plan.optimizer.initial, kept)
    fresh = State(weights, bias, memory, solver.fresh())
    if stored is not None:
        return stored.state(fresh)
    if before.state is None:
        return fresh
    state = before.state.in_dtype(dtype)
    if type(state.own) is not type(fresh.own):
        state.own = fresh.own  # another solver goes on
    return state


def _status(
    solver: Solver[Any], state: State[Any], found: Evaluation, stored: Stored | None, patience: int | None
) -> tuple[State[Any], str]:
    """Whether there is anything left to do; and the state, in which it is noted what was looked at."""
    status = "epochs"
    if stored is not None and stored.status in ("converged", "early_stopped"):
        status = stored.status
    # A start that is as good as the end: only where nothing but the gradient's norm is asked for.
    elif solver.plan.tol is not None and not math.isnan(found.norm):
        state, verdict = solver.at_start(state, found)
        status = verdict.status
    if stored is not None and status == "epochs" and patience is not None and state.waited >= patience:
        status = "early_stopped"  # a signal struck before that was said
    return state, status
