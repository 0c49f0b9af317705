"""A learning rate found by trying: gradient descent for models without a spectrum, the networks.

    lr ← 2·lr;  while loss(W − lr·∇) > loss(W) − ½·lr·‖∇‖²:  lr ← lr/2

(Armijo 1966). Each try is a pass forward, and the one that is taken a pass back. Optimizers with a memory, and epochs in
batches, look for their learning rate likewise (`find_rate`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.course import LR, TOLD, Advance
from gdcore.descent.passes import over_rows
from gdcore.descent.state import Rate
from gdcore.solvers.base import Solver

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.descent.course import Span
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.descent.state import State

_FEWEST = 60  # halvings before it gives up
_FIRST = 0.5  # the half of the first learning rate that is tried


class Backtracking(Solver[Rate]):
    """Epochs over all rows, each of one step whose learning rate is found by trying."""

    def fresh(self) -> Rate:
        return Rate()

    def begin(self, state: State[Rate], done: int) -> tuple[State[Rate], Evaluation]:
        self.passes = over_rows(self.problem)
        state.own.lr = state.own.lr or 1.0
        return state, self.passes.evaluate(state.weights, None)

    def advance(self, state: State[Rate], found: Evaluation, span: Span) -> Advance[Rate]:
        piece, began = self.plan.piece(span.done, 1), time.perf_counter()
        lr = search(self.problem, state.weights, found, 2 * state.own.lr)
        if lr is None:
            return Advance(state, found, piece[:, :0], "stalled")
        state = state.copy()
        state.weights = step(self.problem, state.weights, found.gradient, lr)
        state.own.lr, state.judged = lr, None
        found = self.passes.evaluate(state.weights, None)
        piece[TOLD, 0] = found.loss, found.norm, time.perf_counter() - began
        piece[LR, 0] = lr
        return Advance(state, found, piece)


def find_rate(problem: Problem, plan: Plan, state: State[Rate], found: Evaluation, piece: Floats) -> bool:
    """Whether an epoch has a learning rate; where the plan has it found by trying, state and history are told of it."""
    if not plan.searching:
        return True
    lr = search(problem, state.weights, found, 2 * (state.own.lr or _FIRST))
    if lr is None:
        return False
    state.own.lr = lr
    piece[LR] *= lr * (1 - plan.optimizer.parameters.get("momentum", 0.0))
    return True


def search(problem: Problem, weights: Array, found: Evaluation, lr: float) -> float | None:
    """The first of lr, lr/2, lr/4, … whose step lowers the loss by half of what the gradient promises; None: none does."""
    for _ in range(_FEWEST):
        trial = step(problem, weights, found.gradient, lr)
        moved = float(np.sum((trial.astype(np.float64) - weights) ** 2))
        value = problem.objective_at(trial)
        if moved == 0:
            return None
        if value <= found.loss - moved / (2 * lr) + 4 * np.finfo(trial.dtype).eps * abs(found.loss):
            return lr
        lr /= 2
    return None


def step(problem: Problem, weights: Array, gradient: Array, lr: float) -> Array:
    """The weights after a plain step of that lr."""
    weights = weights.copy()
    problem.network.advance(weights, gradient, lr, problem.l1)
    return weights
