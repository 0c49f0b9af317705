"""Epochs in mini-batches, one update a batch, in the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.course import EPOCH, LOSS, LR, NORM, TOLD, Advance
from gdcore.descent.objective import Evaluation
from gdcore.descent.passes import over_rows
from gdcore.descent.state import Rate, State
from gdcore.solvers.backtracking import find_rate
from gdcore.solvers.base import Solver

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.descent.course import Span


class Batches(Solver[Rate]):
    """One epoch a call; its loss is the mean of the batches', unless tol asks for that of all rows."""

    def fresh(self) -> Rate:
        return Rate()

    def begin(self, state: State[Rate], done: int) -> tuple[State[Rate], Evaluation]:
        self.passes = over_rows(self.problem)
        return state, self._told(state, Evaluation.unknown())

    def _told(self, state: State[Rate], before: Evaluation) -> Evaluation:
        """What a pass over all rows tells; what was told before, where nothing asks for it."""
        if self.plan.tol is None and not self.plan.searching:
            return before
        return self.passes.evaluate(state.weights, state.bias)

    def advance(self, state: State[Rate], found: Evaluation, span: Span) -> Advance[Rate]:
        plan, problem = self.plan, self.problem
        self._underway = None
        piece, before = plan.piece(span.done, 1), state
        state = state.copy()
        if not find_rate(problem, plan, state, found, piece):
            return Advance(before, found, piece[:, :0], "stalled")
        state.judged = None
        counted = np.zeros(1, np.int64)
        self._underway = state, found, piece, counted
        status: str = problem.in_batches(
            problem.X, problem.Y, state.weights, state.bias, float(piece[LR, 0]), plan.batch_size, piece[TOLD], counted,
            order=self._order(span.done), state=state.memory, steps=state.steps, sample_weight=problem.sample_weight,
            decimals=plan.decimals, n_threads=problem.n_threads, optimizer=plan.optimizer.rule, **problem.objective.whole,
            **problem.objective.held,
        )  # fmt: skip
        if not counted[0]:
            return Advance(before, found, piece[:, :0], status)
        if piece[LOSS, 0] > span.above:
            self._underway = None
            return Advance(before, found, piece[:, :0], "diverged", (int(piece[EPOCH, 0]), float(piece[LOSS, 0])))
        found = self._told(state, found)
        if plan.tol is not None:
            piece[[LOSS, NORM], 0] = found.loss, found.norm
        return Advance(state, found, piece)

    _underway: tuple[State[Rate], Evaluation, Floats, Array] | None = None

    def whole(self) -> Advance[Rate] | None:
        if self._underway is None or not self._underway[-1][0]:
            return None
        state, found, piece, _ = self._underway
        return Advance(state, found, piece)  # what else is told of an epoch waits: another signal may be on its way

    def _order(self, epoch: int) -> Array | None:
        """The order in which an epoch's batches take the rows."""
        if self.plan.seed is None:
            return None
        order = np.empty(self.problem.n, np.int64)
        self.problem.backend.permutation(order, self.plan.seed, epoch)
        return order
