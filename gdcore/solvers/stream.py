"""Epochs over all rows as they lie, one update an epoch, in the backend; or over few rows with the same second moments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.course import EPOCH, LOSS, LR, NORM, TOLD, Advance
from gdcore.descent.objective import Engine, Evaluation
from gdcore.descent.passes import Passes, over_few_rows, over_rows
from gdcore.descent.state import Rate, State
from gdcore.solvers.backtracking import find_rate
from gdcore.solvers.base import Solver

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.descent.course import Span

EPOCHS_PER_CALL = 1 << 16
"""Bounds the memory reserved for history ahead of the epochs."""


class Stream(Solver[Rate]):
    """As many epochs as one call of the backend can do: one, where something has to be done after each."""

    passes: Passes
    engine: Engine

    def fresh(self) -> Rate:
        return Rate()

    def begin(self, state: State[Rate], done: int) -> tuple[State[Rate], Evaluation]:
        problem = self.problem
        if self.plan.method == "gram":
            self.passes, self.engine = over_few_rows(problem)
        else:
            self.passes, self.engine = over_rows(problem), problem.engine
        return state, self.passes.evaluate(state.weights, state.bias)

    def advance(self, state: State[Rate], found: Evaluation, span: Span) -> Advance[Rate]:
        plan = self.plan
        self._underway = None
        each = plan.watched or plan.searching or plan.proves
        piece = plan.piece(span.done, 1 if each else min(span.left, EPOCHS_PER_CALL))
        state = state.copy()
        if not find_rate(self.problem, plan, state, found, piece):
            return Advance(state, found, piece[:, :0], "stalled")
        state.judged = None
        counted = np.zeros(1, np.int64)
        gradient, bias_gradient = copied(found)
        # The backend changes state, gradients and counter together, epoch by epoch.
        self._underway = state, found, gradient, bias_gradient, piece, counted
        tol = -1.0 if plan.tol is None or plan.proves else plan.tol
        status = self._descend(state, gradient, bias_gradient, piece, counted, tol=tol, ceiling=span.above)
        jump = None
        if status == "diverged":
            jump = self._jump(state, gradient, bias_gradient, piece[:, counted[0] :])
        made = self.whole()
        if made is None:
            made = Advance(state, found, piece[:, :0])
        return made._replace(status=status, jump=jump)

    _underway: tuple[State[Rate], Evaluation, Array, Array | None, Floats, Array] | None = None

    def whole(self) -> Advance[Rate] | None:
        if self._underway is None or not self._underway[-1][0]:
            return None
        state, _, gradient, bias_gradient, piece, counted = self._underway
        piece = piece[:, : counted[0]]
        return Advance(state, Evaluation(float(piece[LOSS, -1]), float(piece[NORM, -1]), gradient, bias_gradient), piece)

    def _descend(
        self, state: State[Rate], gradient: Array, bias_gradient: Array | None, piece: Floats, counted: Array,
        tol: float = -1.0, ceiling: float = math.inf,
    ) -> str:  # fmt: skip
        """Epochs in the backend, which changes all that it is given."""
        return self.engine.descend(
            self.passes.X, self.passes.Y, state.weights, state.bias, gradient, bias_gradient, piece[LR], piece.shape[1],
            piece[TOLD], counted, sample_weight=self.passes.sample_weight, decimals=self.plan.decimals,
            n_threads=self.problem.n_threads, optimizer=self.plan.optimizer.rule, state=state.memory, steps=state.steps,
            tol=tol, ceiling=ceiling, **self.problem.objective.whole, **self.problem.objective.held,
        )  # fmt: skip

    def _jump(self, state: State[Rate], gradient: Array, bias_gradient: Array | None, piece: Floats) -> tuple[int, float]:
        """Where the epoch that the backend has undone would have led: its number, and its loss, infinite or not."""
        tried = np.full((6, 1), math.inf)
        tried[LR] = piece[LR, 0]
        gradient, bias_gradient = gradient.copy(), None if bias_gradient is None else bias_gradient.copy()
        self._descend(state.copy(), gradient, bias_gradient, tried, np.zeros(1, np.int64))
        return int(piece[EPOCH, 0]), float(tried[LOSS, 0])


def copied(found: Evaluation) -> tuple[Array, Array | None]:
    """The gradients, for a backend to change."""
    return found.gradient.copy(), None if found.bias_gradient is None else found.bias_gradient.copy()
