"""Any number of epochs in closed form: `gdcore.facts.quadratic.Epochs` in the place of a loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.course import EPOCH, LOSS, NORM, SECONDS, Advance, piece
from gdcore.descent.objective import Evaluation
from gdcore.descent.state import State, like, packed, unpacked
from gdcore.descent.stop import Verdict
from gdcore.facts.quadratic import Epochs
from gdcore.solvers.base import Solver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gdcore._types import Array, Floats
    from gdcore.descent.course import Span

EVERY = 10_000
"""Up to so many epochs the history has each of them; of more it has so many in all, denser at the beginning."""

_POINTS = 1000
_EARLY = 100  # of the first of them each one


@dataclass
class Origin:
    """Where the formula began: a resumed run goes on from there, so that fit(a) and resume(b) are fit(a + b) to the bit."""

    facts: Floats
    """A number for each thing that the formula depends on: another problem starts anew."""
    first: int
    """Epochs done before."""
    delta: Floats
    u: Floats

    def copy(self) -> Origin:
        return self  # nothing of it changes

    def to_arrays(self) -> dict[str, Array]:
        named = {"facts": self.facts, "first": np.array(self.first), "delta": self.delta, "u": self.u}
        return packed() | {f"origin.{name}": array for name, array in named.items() if len(self.facts)}

    def from_arrays(self, arrays: Mapping[str, Array]) -> Origin:
        unpacked(arrays)
        if "origin.facts" not in arrays:
            return self
        facts = like(arrays, "origin.facts", np.empty(arrays["origin.facts"].size))
        first = like(arrays, "origin.first", np.array(0))
        delta, u = (like(arrays, f"origin.{name}", self.delta) for name in ("delta", "u"))
        return Origin(facts, int(first), delta, u)


class Closed(Solver[Origin]):
    """The epochs of squared error, all rows, a constant lr and no l1."""

    all_at_once = True

    def fresh(self) -> Origin:
        nowhere = np.zeros((self.problem.d + self.problem.has_bias, self.problem.outputs))
        return Origin(np.zeros(0), 0, nowhere, nowhere)

    def begin(self, state: State[Origin], done: int) -> tuple[State[Origin], Evaluation]:
        """The problem's eigenvectors, and where the run starts in them."""
        problem, plan = self.problem, self.plan
        assert plan.lr is not None
        rule = plan.optimizer.parameters
        quadratic = problem.quadratic
        self.epochs = Epochs(quadratic, problem.spectrum, plan.lr, rule["momentum"], rule["nesterov"])
        facts = np.concatenate([self.epochs.values, [plan.lr, quadratic.best], quadratic.weights.ravel()])
        if not np.array_equal(state.own.facts, facts):
            buffer = None if state.memory is None else state.memory[0]
            state.own = Origin(facts, done, *self.epochs.start(state.weights, state.bias, buffer))
        self.first = done
        self.since, self.start = done - state.own.first, (state.own.delta, state.own.u)
        losses, norms = self.epochs.course(np.array([self.since]), self.start)
        return state, Evaluation.unknown(float(losses[0]), float(norms[0]))

    def at_start(self, state: State[Origin], found: Evaluation) -> tuple[State[Origin], Verdict]:
        return state, Verdict("epochs")  # the formula does the epochs that are asked for

    def judge(self, state: State[Origin], found: Evaluation) -> Verdict:
        return Verdict("epochs")

    def advance(self, state: State[Origin], found: Evaluation, span: Span) -> Advance[Origin]:
        """All of them."""
        began = time.perf_counter()
        points = self._points(span)
        told = piece(self.plan.rates(span.done, len(points)), points)
        told[[LOSS, NORM]] = self.epochs.course(points - self.first + self.since, self.start)
        bad = np.flatnonzero(~(told[LOSS] <= span.above) | ~np.isfinite(told[NORM]))
        finished = int(bad[0]) if len(bad) else len(points)
        status, jump = ("diverged", (int(points[finished]), float(told[LOSS, finished]))) if len(bad) else ("epochs", None)
        told = told[:, :finished]
        if not finished:
            return Advance(state, found, told, status, jump)
        last = int(told[EPOCH, -1]) - self.first
        delta, u = self.epochs.after(self.since + last, self.start)
        weights, bias = self.epochs.parameters(delta)
        state = state.copy()
        state.bias = None if bias is None else bias.astype(state.weights.dtype)
        state.weights = weights.astype(state.weights.dtype)
        if state.memory is not None:
            state.memory[0] = self.epochs.buffer(u)
        state.steps[0] += last
        told[SECONDS] = (time.perf_counter() - began) / finished
        found = Evaluation.unknown(*(float(value) for value in told[[LOSS, NORM], -1]))
        return Advance(state, found, told, status, jump)

    def _points(self, span: Span) -> Array:
        """The numbers of the epochs that the history shall have."""
        if self.plan.asked is not None:
            return np.array(self.plan.asked, np.int64) + span.done
        if span.left <= EVERY:
            return np.arange(span.done + 1, span.done + span.left + 1)
        early = np.arange(1, _EARLY + 1)
        later = np.rint(np.geomspace(_EARLY, span.left, _POINTS - _EARLY + 1)).astype(np.int64)
        later[-1] = span.left
        return np.unique(np.concatenate([early, later])) + span.done
