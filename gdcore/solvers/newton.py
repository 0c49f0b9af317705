"""Newton's method: gradient descent in the metric of the Hessian, one pass over the rows an epoch.

    w ← w + δ,   δ = argmin g·δ + ½·δᵀ(H + ν·B)δ + l1·‖w + δ‖₁,   low ≤ w + δ ≤ high

with gradient g and Hessian H at w, from the pass that told the objective there (`gdcore.facts.curvature`). The damping ν is 0
as a rule. A step that does not lower the objective by a share of what the model promised is not taken; a part of it is tried.
Where the Hessian has no minimum to offer, for few rows are curved, ν is above 0 and B is the bound of the Hessian (Levenberg
1944, Marquardt 1963). Where what is left to gain is less than the rounding of the objective, a step is taken if it lowers what
is left. Until the end is near the Hessian is of some of the rows, where there are many; loss and gradient are of all.

Losses of real targets start from the least-squares solution where that is lower, which the moments give for nothing: a huber
loss or an absolute error knows nothing of how far away its targets are. Losses of amounts start from the best constant.

mae and quantile without a penalty are minimised in one epoch, at a vertex (`gdcore.solvers.exact_quantile`). With a penalty,
or where that finds none, they are smoothed within h, solved, and solved again with a smaller h, which the sizes of the
residuals choose.
Once few rows lie near their target, the minimum over these is found exactly, all others kept on the side of their target on
which they are (`gdcore.solvers.vertex`; the reduction is that of Portnoy and Koenker 1997); where the sides hold, it is that
over all rows. The model is always the best of the weights that were met, by the loss itself. A huber loss far from its targets
descends likewise, down to its own δ.

"converged" is said where `gdcore.facts.certificate` proves it on the rows.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.course import TOLD, Advance
from gdcore.descent.passes import over_rows
from gdcore.descent.proof import Corner
from gdcore.descent.state import State, flat
from gdcore.descent.stop import Verdict
from gdcore.facts.metric import Metric
from gdcore.solvers import exact_quantile
from gdcore.solvers.base import Solver
from gdcore.solvers.ends import LEAST_DAMPING, Judge
from gdcore.solvers.narrowing import first_width
from gdcore.solvers.parts import OPEN, PROVED, Numbers, Parts

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.descent.course import Span
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.descent.stop import Stop
    from gdcore.facts.curvature import Local, Part
    from gdcore.solvers.exact_quantile import End

_SHARE = 1e-3  # of what the model promised: a step that gains less is not taken (Armijo's rule)
_MOST_DAMPING = 1e8
_LEAST_SHARE = 1e-9  # of a step
_SIXTEEN, _ROWS = 16, 64


class Newton(Solver[Numbers]):
    """One epoch a call, of all parts."""

    def __init__(self, problem: Problem, plan: Plan, stop: Stop) -> None:
        super().__init__(problem, plan, stop)
        self.parts = Parts(problem, plan)
        self.loss = problem.loss_function
        self._untried = self.loss.kinked and not problem.penalty.kinked and problem.l2 == 0
        self._ends: list[End] = []

    def fresh(self) -> Numbers:
        return Numbers.fresh(len(self.parts))

    def begin(self, state: State[Numbers], done: int) -> tuple[State[Numbers], Evaluation]:
        """The moments, and loss, gradient and Hessian at the weights as they are."""
        problem, parts = self.problem, self.parts
        columns = problem.moments.of_columns()
        self.metric = Metric(columns, self.loss.curvature or 1.0, problem.l2, problem.has_bias, "gram")
        self.judges = Judge(parts)
        if self._untried:
            return self._at_corners(state)
        if self._elsewhere(state):
            state.own, state.judged = self.fresh(), None
        numbers = state.own
        fresh = bool(np.isinf(numbers.met).all())
        if fresh:
            assert state.memory is not None
            state.memory[0] = flat(state.weights, state.bias)
            numbers.stride[:] = 1.0 if self.loss.flat else self._first_stride()
        return state, self._begun(state, fresh)

    def _begun(self, state: State[Numbers], fresh: bool) -> Evaluation:
        """What a pass tells of the parts, mae's and quantile's smoothed within some h."""
        parts, numbers = self.parts, state.own
        if self.loss.flat and not numbers.smoothing.all():
            numbers.smoothing[:] = 1.0  # any width will do to see how large the residuals are
            here = parts.all_at(state)
            numbers.smoothing[:] = [
                first_width(parts, local, part) for local, part in zip(parts.measured(here), here, strict=True)
            ]
        self.locals = parts.measured(parts.all_at(state))
        if fresh:
            numbers.met[:] = [local.objective for local in self.locals]
        return parts.evaluation(state, self.locals)

    def _elsewhere(self, state: State[Numbers]) -> bool:
        """Whether a run goes on with another model, other rows or another objective: what it knew is then not so any more."""
        numbers, parts = state.own, self.parts
        if np.isinf(numbers.met).all():
            return False
        if any(np.any(parts.frame.penalty.box.clip(part.weights) != part.weights) for part in parts.all_at(state)):
            return True
        models = []
        for i, part in enumerate(parts.all_at(state)):
            weights, bias = parts.model(state, i)
            models.append(part._replace(weights=weights, bias=bias))
        met = zip(models, parts.measured(models), numbers.met, strict=True)
        return any(not abs(found.objective - value) <= 4 * parts.noise(found, part) for part, found, value in met)

    def _first_stride(self) -> float:
        """Of how many rows one tells the Hessian well enough until the end is near.

        The step then leaves about √(p/rows) of what is missing: with a sixteenth of the rows, and at least 64 a column, an
        eighth at most, for a sixteenth of the cost, which for many columns is nearly all of an epoch's.
        """
        p = len(self.parts.frame.plain) * len(self.parts.outputs[0])
        return float(max(1, min(_SIXTEEN, self.problem.n // (_ROWS * p))))

    def advance(self, state: State[Numbers], found: Evaluation, span: Span) -> Advance[Numbers]:
        piece, began = self.plan.piece(span.done, 1), time.perf_counter()
        ended = _status(state)
        if ended != "epochs":
            return Advance(state, found, piece[:, :0], ended)
        with np.errstate(all="ignore"):  # a step that leaves the finite numbers is not taken
            there = self._cornered(state) if self._untried else None
            if there is not None:
                state, found = there
            else:
                state, self.locals = self._epoch(state)
                found = self.parts.evaluation(state, self.locals)
        piece[TOLD, 0] = found.loss, found.norm, time.perf_counter() - began
        return Advance(state, found, piece)

    # mae and quantile without a penalty ----------------------------------------------------------------------------------

    def _at_corners(self, state: State[Numbers]) -> tuple[State[Numbers], Evaluation]:
        """`begin`, where the first epoch is to find the end: no Hessian is wanted, and no width."""
        problem, numbers = self.problem, state.own
        found = over_rows(problem).evaluate(*problem.final(state.weights, state.bias))
        known, eps = float(np.sum(numbers.met)), float(np.finfo(problem.dtype).eps)
        rounding = 64 * eps * (found.loss + problem.frame.terms(state.weights, state.bias))
        if not abs(found.loss - known) <= rounding:  # the start, or another model, or other rows than a former run's
            state.own, state.judged = self.fresh(), None
            state.own.met[:] = found.loss / len(self.parts)
        assert state.memory is not None
        state.memory[0] = flat(state.weights, state.bias)
        return state, found

    def _cornered(self, state: State[Numbers]) -> tuple[State[Numbers], Evaluation] | None:
        """The epoch that ends all parts; None where that fails, and Newton's method has to go on from where they are."""
        parts, problem = self.parts, self.problem
        self._untried = False
        there = state.copy()
        ends = exact_quantile.ended(problem, [(parts.first(here) or here, self.loss) for here in parts.all_at(there)])
        if ends is None:
            state.own = self.fresh()
            self._begun(state, True)
            return None
        for i, end in enumerate(ends):
            part = end.part._replace(smoothing=max(end.width / 2, parts.noise_of(end.part, end.loss)))
            parts.put(there, part)
            parts.meet(there, i, part, end.loss)
            own = there.own
            own.smoothing[i], own.gain[i], own.ended[i], own.gap[i] = part.smoothing, 0.0, PROVED, end.gap
        self._ends = ends
        there.judged = self.plan.tol, True
        return there, over_rows(problem).evaluate(*problem.final(there.weights, there.bias))

    def corner(self, state: State[Numbers]) -> Corner | None:
        if not self._ends or _status(state) != "converged":
            return None
        rows = [end.rows for end in self._ends]
        unique = np.array([end.unique for end in self._ends], np.float64)
        gap, loss = (sum(values) for values in zip(*((end.gap, end.loss) for end in self._ends), strict=True))
        return Corner(gap, loss - gap, rows[0] if not self.problem.target_shape else np.stack(rows), unique)

    # When to stop ---------------------------------------------------------------------------------------------------------

    def at_start(self, state: State[Numbers], found: Evaluation) -> tuple[State[Numbers], Verdict]:
        """Whether the end is proved of the weights as they are; what was judged by another tol is judged anew."""
        if state.judged is not None and state.judged[0] == self.plan.tol:
            return state, Verdict("converged" if state.judged[1] else "epochs")
        state = state.copy()
        state.own.ended[:] = OPEN
        if not (self.loss.flat or self.loss.has_link):  # these go on from elsewhere first
            for i in range(len(self.parts)):
                self.judges.judge(state, i, self.locals[i], True)
        return state, Verdict("converged" if _status(state) == "converged" else "epochs")

    def judge(self, state: State[Numbers], found: Evaluation) -> Verdict:
        """How all parts together stand, as each was judged in its epoch."""
        status = _status(state)
        return Verdict(status, float(np.sum(state.own.gap)) if status == "converged" else None)

    @property
    def separating(self) -> list[Floats]:
        return list(self.parts.separating.values())

    def anchors(self, state: State[Numbers]) -> list[Part] | None:
        if self.loss.flat and not state.own.smoothing.all():
            return None  # before the first epoch
        return self.parts.all_at(state)

    # One epoch ---------------------------------------------------------------------------------------------------------------

    def _epoch(self, state: State[Numbers]) -> tuple[State[Numbers], list[Local]]:
        """One epoch: the state and what the pass told."""
        parts = self.parts
        state = state.copy()
        numbers, locals_ = state.own, list(self.locals)
        here = parts.all_at(state)
        first = np.isinf(numbers.gain)
        trials, gains, going = [], {}, [i for i in range(len(here)) if numbers.ended[i] == OPEN]
        for i in going:
            if first[i] and self.loss.numeric and not self.problem.squared:
                start = parts.first(here[i])
                if start is not None:
                    trials.append(start)
                    continue
            step = parts.step(locals_[i], here[i], float(numbers.damping[i]))
            if not step.bounded:
                numbers.damping[i] = LEAST_DAMPING
                numbers.share[i] = 1.0
            share = float(numbers.share[i])
            gains[i] = step.gain * share
            trials.append(parts.moved(here[i], step.delta * share, share == 1))
        for i, trial, found in zip(going, trials, parts.measured(trials), strict=True):
            before = locals_[i]
            noise = parts.noise(before, here[i])
            if i not in gains:
                taken = found.objective < before.objective
                numbers.gain[i] = math.nan
            else:
                taken = self._taken(before, found, here[i], trial, gains[i], noise, numbers, i)
            if taken:
                locals_[i] = found
                parts.put(state, trial)
                if found.objective <= numbers.met[i] + (noise if gains.get(i, math.inf) <= noise else 0.0):
                    parts.meet(state, i, trial, found.objective)
            if i not in gains and self.loss.flat:
                numbers.smoothing[i] = first_width(parts, locals_[i], parts.at(state, i))
                [locals_[i]] = parts.measured([parts.at(state, i)])
            elif i in gains:
                self.judges.judge(state, i, locals_[i], taken)
                there = parts.at(state, i)
                stood = trial if taken else here[i]
                if there[3:] != stood[3:] or not np.array_equal(there.weights, stood.weights):
                    [locals_[i]] = parts.measured([parts.at(state, i)])
        state.judged = self.plan.tol, bool((numbers.ended == PROVED).all())
        return state, locals_

    def _taken(
        self, before: Local, found: Local, part: Part, trial: Part, gain: float, noise: float, numbers: Numbers, i: int
    ) -> bool:
        """Whether the step to ``trial`` is taken; the damping of the next one follows."""
        fall = before.smoothed - found.smoothed
        taken = bool(np.isfinite(found.smoothed) and np.isfinite(found.gradient).all()) and fall >= _SHARE * gain
        if not taken and gain <= noise and -fall <= noise:
            taken = self.parts.step(found, trial, 0.0).gain < gain / 2
            if not taken:
                numbers.share[i] = 0.0  # no step is known to be better
                return False
        if not taken and numbers.damping[i] == 0:
            shorter = self._crossing(before, found, part, trial) * numbers.share[i]
            numbers.share[i] = shorter if shorter > _LEAST_SHARE else 0.0
        elif not taken:
            numbers.damping[i] *= 8
            if numbers.damping[i] > _MOST_DAMPING:
                numbers.share[i] = 0.0
        elif numbers.damping[i] == 0:
            numbers.share[i] = min(1.0, 4 * numbers.share[i])
        elif fall > 0.75 * gain:
            numbers.damping[i] /= 8
        elif fall < 0.25 * gain and gain > noise:
            numbers.damping[i] *= 2
        return taken

    def _crossing(self, before: Local, found: Local, part: Part, trial: Part) -> float:
        """Where on the way to ``trial`` the tangents of both ends meet, as at a kink: from a millionth to a half."""
        w, b = trial.weights - part.weights, 0.0 if trial.bias is None or part.bias is None else trial.bias - part.bias
        slopes = []
        for local, there, side in ((before, part, 1.0), (found, trial, -1.0)):
            slope = float(np.sum(local.gradient * w)) + (
                0.0 if local.bias_gradient is None else float(local.bias_gradient @ b)
            )
            l1 = np.where(there.weights == 0, side * np.abs(w), np.sign(there.weights) * w)
            slopes.append(slope + self.parts.frame.penalty.l1 * float(np.sum(l1)))
        meet = np.divide(found.smoothed - slopes[1] - before.smoothed, slopes[0] - slopes[1])
        return float(np.clip(meet, 1e-6, 0.5)) if np.isfinite(meet) else 0.25


def _status(state: State[Numbers]) -> str:
    """How all parts together stand."""
    ended = state.own.ended
    if (ended == PROVED).all():
        return "converged"
    return "epochs" if (ended == OPEN).any() else "stalled"
