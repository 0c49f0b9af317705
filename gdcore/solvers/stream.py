"""Epochs over the rows as they lie, in the backend; and those that squared error's second moments stand in for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.solvers.backtracking import search

if TYPE_CHECKING:
    from gdcore.facts.quadratic import Quadratic
    from gdcore.training.loop import Training

EPOCHS_PER_CALL = 1 << 16
"""Bounds the memory reserved for history ahead of the epochs."""


class Solved:
    """Squared error as its second moments tell it, in the place of a backend."""

    def __init__(self, quadratic: Quadratic, backend: Any) -> None:
        self.loss_gradient, self.gradient_norm = quadratic.loss_gradient, backend.gradient_norm


class Stream:
    """Epochs over the rows as they lie, in the backend: full batches, or mini-batches."""

    def __init__(self, training: Training, searching: bool = False) -> None:
        self.t, self.searching = training, searching

    def begin(self) -> None:
        """Loss and gradient at the weights as they are, unless nothing asks for them."""
        t = self.t
        if not t.batches or t.tol is not None or self.searching:
            t.evaluate()
            t.check_start()

    def some_epochs(self, left: int) -> str:
        """As many epochs as one call of the backend can do: one, where something has to be done after each."""
        t, state = self.t, self.t.state
        self.former = None
        each = t.each or t.batches or self.searching or self._proves()
        columns, counted = t.piece(1 if each else min(left, EPOCHS_PER_CALL))
        gradient = t.gradients() if t.each and not t.batches else None
        if self.searching:
            t.evaluate()
            found = search(t, 2 * (state.scalars[0] or 0.5))
            if found is None:
                return "stalled"
            self.former = float(state.scalars[0])
            state.scalars[0] = found
            columns[4] *= found * (1 - t.optimizer.parameters.get("momentum", 0.0))
        state.judged = None
        X, Y, s = t.passes
        common: dict[str, Any] = dict(
            sample_weight=s, decimals=t.decimals, n_threads=t.n_threads, l1=t.l1, l2=t.l2,
            optimizer=t.optimizer.rule, **t.objective,
        )  # fmt: skip
        before = state.copy() if t.batches and t.stop_above < math.inf else None
        if t.batches:
            status = t.engine.descend_batches(
                X, Y, state.weights, state.bias, float(columns[4, 0]), t.batch_size, columns[:3], counted,
                order=t.order(int(columns[5, 0]) - 1), state=state.memory, steps=state.steps, **common,
            )  # fmt: skip
            if status == "epochs" and before is not None and columns[0, 0] > t.stop_above:
                t.jump = int(columns[5, 0]), float(columns[0, 0])
                t.state, counted[0] = before, 0
                return "diverged"
            if status == "epochs" and t.tol is not None:
                t.evaluate()
                columns[0, 0], columns[1, 0] = t.loss, t.norm
                status = "converged" if t.norm <= t.tol else status
        else:
            tol = -1.0 if t.tol is None or self._proves() else t.tol
            status = t.engine_now.descend(
                X, Y, state.weights, state.bias, t.gradient, t.bias_gradient, columns[4], columns.shape[1],
                columns[:3], counted, tol=tol, ceiling=t.stop_above, state=state.memory, steps=state.steps, **common,
            )  # fmt: skip
            if status == "diverged":
                self._look(columns[:, counted[0]], common)
            if counted[0]:
                t.loss, t.norm = (float(v) for v in columns[:2, counted[0] - 1])
            if status == "epochs" and self._proves() and t.reached(None):
                status = "converged"
        if t.each and counted[0]:
            stop = t.after_epoch(columns, gradient)
            status = "early_stopped" if stop and status == "epochs" else status
        result: str = status
        return result

    def _look(self, column: Any, common: dict[str, Any]) -> None:
        """Where the epoch that the backend has undone would have led: its loss, infinite or not."""
        t, state = self.t, self.t.state.copy()
        history, done = np.full((3, 1), math.inf), np.zeros(1, np.int64)
        X, Y, _ = t.passes
        t.engine_now.descend(
            X, Y, state.weights, state.bias, *t.gradients(), float(column[4]), 1, history, done, state=state.memory,
            steps=state.steps, **common,
        )  # fmt: skip
        t.jump = int(column[5]), float(history[0, 0])

    def undo(self) -> None:
        """After a signal: the lr that was found for an epoch that was not done is forgotten."""
        if self.former is not None and not self.t.pieces[-1][1][0]:
            self.t.state.scalars[0] = self.former

    former: float | None = None
    """The lr before the epoch at work, once another is found for it."""

    def _proves(self) -> bool:
        """Whether tol is about a gap, which the backend does not know."""
        t = self.t
        smooth = t.loss_function.curvature is not None
        return t.tol is not None and t.linear and not t.batches and (t.squared or (t.l2 > 0 and smooth))
