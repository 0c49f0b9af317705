"""What follows the last epoch: passes that tell what the model is worth, and the run that is given back."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.descent.course import NORM, VALIDATION
from gdcore.descent.passes import over_rows
from gdcore.descent.proof import above, gap_at
from gdcore.facts.curvature import loss_at
from gdcore.facts.gap import VERTEX, Bound
from gdcore.models.linear import Linear
from gdcore.rows.moments import MOST_COLUMNS
from gdcore.run import Run, Settings
from gdcore.surface import only_pairs
from gdcore.training import fingerprints, limits
from gdcore.training.observe import model_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.descent.course import Course
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.options import Options
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.descent.proof import Corner
    from gdcore.facts.curvature import Part
    from gdcore.facts.spectrum import Spectrum
    from gdcore.training.checkpoints import Keeper
    from gdcore.training.drive import Drive
    from gdcore.training.observe import Functions
    from gdcore.training.validation import Validation


@dataclass(frozen=True, eq=False)
class Task:
    """What one call of `gdcore.fit` is to do."""

    problem: Problem
    options: Options
    plan: Plan
    validation: Validation | None
    limit: limits.Limit | None
    """What is known of the learning rate's limit."""
    begun: float
    """The loss at the start; NaN where no pass has told it."""
    ceiling: float
    """Of a learning rate past its limit: a loss above it is a divergence."""

    @property
    def above(self) -> float:
        """The loss that ends the epochs: the ceiling; where a divergence is watched, what no sum over the rows holds."""
        if self.options.on_divergence == "keep":
            return float(np.finfo(self.problem.dtype).max) / self.problem.n
        return self.ceiling

    def free(self) -> None:
        """No more passes will follow soon."""
        self.problem.free()
        if self.validation is not None:
            self.validation.free()


class Conclusion:
    """The end of a task.

    Attributes
    ----------
    run : Run
        Once it is concluded.
    diverged : str or None
        What is to be said where the run has diverged.
    """

    run: Run

    def __init__(
        self, task: Task, course: Course[Any], drive: Drive, keeper: Keeper | None, functions: Functions,
        resume: Callable[..., Run],
    ) -> None:  # fmt: skip
        self.task, self.course, self.drive, self.keeper = task, course, drive, keeper
        self._functions, self._resume = functions, resume
        self.diverged: str | None = None
        self._told: tuple[float, float] | None = None  # loss and gradient norm of the model, once passes have told them

    def conclude(self) -> None:
        """The passes after the last epoch, and the run."""
        course, drive = self.course, self.drive
        if drive.status == "interrupted":
            self._settle()
        if self.keeper is not None and drive.status != "diverged":
            self.keeper.finish(course, drive.status)
        if drive.status == "diverged" and not course.done:
            state = course.state
            self.task.problem.check_start(state.weights, state.bias, course.now.found)  # the data may be to blame
        found = self._found()
        course.find(found)
        if drive.status == "diverged" and self.task.options.on_divergence == "raise":
            epoch, loss = drive.jump if drive.jump is not None else (course.epoch + 1, math.nan)
            task, jump = self.task, limits.Jump(epoch, loss, found.loss)
            self.diverged = limits.diverged(task.problem, task.plan, task.limit, task.ceiling, jump)
        best = self._best()
        self._told = (found.loss, found.norm) if best is None else (self.task.problem.objective_at(*best), math.nan)
        self.run = self._run()

    def interrupted(self) -> None:
        """The run, where Ctrl-C has struck the last passes: what was done is the run."""
        self.diverged = None
        if self.keeper is not None:
            self.keeper.finish(self.course, "interrupted")
        self.run = self._run()

    # The passes -----------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """After a signal between two epochs: the history tells of the last epoch what it tells of others."""
        course, task, last = self.course, self.task, self.course.last
        if last is None:
            return
        if task.plan.batches and task.plan.tol is not None and math.isnan(last[NORM]):
            found = over_rows(task.problem).evaluate(course.state.weights, course.state.bias)
            last[:2] = found.loss, found.norm
            course.find(found)
        if task.validation is not None and math.isnan(last[VALIDATION]):
            task.validation.tell(course)

    def _found(self) -> Evaluation:
        """Loss and gradient norm of the last weights, on the rows."""
        problem, plan, drive = self.task.problem, self.task.plan, self.drive
        found, state = self.course.now.found, self.course.state
        if plan.batches:
            norm = math.nan if plan.tol is None else found.norm
            found = found._replace(loss=problem.objective_at(state.weights, state.bias), norm=norm)
        if drive.status == "epochs" and found.loss > self.task.ceiling:
            drive.status, drive.jump = "diverged", (self.course.epoch, found.loss)
        if plan.method != "stream" and problem.table is None:
            found = over_rows(problem).evaluate(*problem.final(state.weights, state.bias))
        return self._as_rounded(found) if plan.newton and problem.dtype != np.float64 else found

    def _as_rounded(self, found: Evaluation) -> Evaluation:
        """The loss of the weights as X's dtype holds them; where it is worse than that of weights of 0, they become 0.

        In float64, where large terms that cancel do not hide what the rounding of the weights has done.
        """
        problem, state = self.task.problem, self.course.state
        weights, bias = (None if a is None else a.astype(np.float64) for a in problem.final(state.weights, state.bias))
        assert weights is not None
        rows = (problem.X, problem.Y, problem.sample_weight, problem.n_threads)
        loss = loss_at(*rows, problem.backend_name, problem.loss_function, weights, bias) + problem.penalty.value(weights)
        zeros = problem.objective_of_zeros()
        allowed = not problem.penalty.box.clip(np.zeros(problem.d)).any()
        if loss <= zeros * (1 + float(np.finfo(problem.dtype).eps)) or not self.course.done or not allowed:
            return found._replace(loss=loss)
        state.weights, state.bias = 0 * state.weights, None if state.bias is None else 0 * state.bias
        if self.drive.status == "converged":
            self.drive.status = "epochs"
        return found._replace(loss=zeros)

    # The run --------------------------------------------------------------------------------------------------------------

    def _best(self) -> tuple[Array, Array | None] | None:
        """The best parameters on the validation data, where patience has it look for them."""
        patience, best = self.task.options.patience, self.course.state.best
        return None if patience is None or best is None else self.task.problem.final(best.weights, best.bias)

    def _run(self) -> Run:
        """The run, as far as the passes have told of it."""
        task, course, state = self.task, self.course, self.course.state
        problem, best = task.problem, self._best()
        weights, bias = best or problem.final(state.weights, state.bias)
        loss, norm = course.now.found[:2] if best is None and not task.plan.batches else (math.nan, math.nan)
        if self._told is not None:
            loss, norm = self._told
        model = problem.model.with_parameters(weights, bias)
        model.loss = problem.loss_function
        if isinstance(model, Linear) and problem.table is not None and (card := problem.table.card()) is not None:
            model.columns, model.card = list(problem.table.names), card
        corner = self.drive.solver.corner(state) if best is None else None
        if corner is not None and isinstance(model, Linear):
            model.interpolated = corner.rows
        task.free()
        recorder = self._functions.recorder
        models = None if recorder is None else recorder.up_to(course.done, model_at(problem, course))
        facts = _facts(task, weights, bias, self.drive.solver.anchors(state), corner)
        status, method = self.drive.status, task.plan.method
        settings = _settings(task.plan)._replace(bounds=problem.objective.bounds)
        proof = None if corner is None else VERTEX
        return Run(model, course.history(), status, method, loss, norm, self._resume, facts, settings, models, proof)


def _settings(plan: Plan) -> Settings:
    """What was chosen, and what stands for a choice."""
    lr = None if plan.lr is None or (plan.preconditioned and plan.auto) else float(plan.lr)
    return Settings(repr(plan.optimizer), lr, plan.metric, plan.tol)


def _facts(
    task: Task, weights: Array, bias: Array | None, anchors: list[Part] | None, corner: Corner | None
) -> dict[str, Callable[[], Any]]:
    """What a run tells when it is asked, because it costs passes."""
    problem = task.problem
    known = problem.loss_function.curvature is not None and problem.linear
    marks = _marks(problem)

    def gap_later() -> Bound | None:
        if corner is not None and problem.dtype == np.float64:
            return Bound(corner.gap, VERTEX)
        _check_unchanged(problem, marks)
        if problem.table is not None and not problem.squared:
            problem.table.keep()  # several passes
        if corner is None:
            found = gap_at(problem, weights, bias, anchors)
        else:
            found = Bound(above(problem, weights, bias, corner.best, corner.gap, problem.loss_function), VERTEX)
        task.free()
        return found

    def spectrum_later() -> Spectrum | None:
        if known and not problem.spectrum_costs_nothing:
            _check_unchanged(problem, marks)
        return problem.spectrum if known else None

    def spread() -> Floats | None:
        known = problem.spectrum_costs_nothing and problem.d <= MOST_COLUMNS
        return problem.moments.of_columns().deviations if known else None

    def losses() -> Callable[[Floats], Floats]:
        _check_unchanged(problem, marks)
        if not problem.linear or problem.d * problem.outputs + problem.has_bias * problem.outputs != 2:
            raise ValueError(only_pairs(repr(problem.model)))
        if problem.table is not None and not problem.squared:
            raise ValueError(
                f"the loss ({problem.loss_function.name}) at each place of a picture is a pass over the table: fit arrays"
            )
        return functools.partial(_losses, problem)

    return {"gap": gap_later, "spectrum": spectrum_later, "spread": spread, "losses": losses}


def _losses(problem: Problem, pairs: Floats) -> Floats:
    """The objective of pairs of numbers (m, 2), a weight and a bias or two weights: (m,)."""
    found, d = np.empty(len(pairs)), problem.d
    for i, pair in enumerate(pairs.astype(problem.dtype)):
        weights, bias = pair[:d, None].copy(), pair[d:].copy() if problem.has_bias else None
        if problem.squared:
            found[i] = problem.quadratic.loss_gradient(None, None, weights, bias, l1=problem.l1)[0]
        else:
            found[i] = problem.objective_at(weights, bias)
    return found


def _marks(problem: Problem) -> dict[str, tuple[Any, ...]]:
    """By what it is noticed that the caller has changed the data; files have stamps of their own, Dask's do not change."""
    if problem.table is not None:
        return {}
    X, Y = problem.in_memory
    return fingerprints.marks({"X": X, "Y": Y, "sample_weight": problem.sample_weight})


def _check_unchanged(problem: Problem, marks: dict[str, tuple[Any, ...]]) -> None:
    """ValueError where the data are no longer those that the run was trained on."""
    now = _marks(problem)
    changed = [name for name in marks if marks[name] != now[name]]
    if changed:
        have = "have" if len(changed) > 1 else "has"
        raise ValueError(
            f"{' and '.join(changed)} {have} changed since the run, which was trained on other values: ask for gap and "
            "spectrum before the data are changed, or give fit a copy of them"
        )
