"""Any number of epochs in closed form: `gdcore.facts.quadratic.Epochs` in the place of a loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.facts.quadratic import Epochs

if TYPE_CHECKING:
    from gdcore._types import Array

EVERY = 10_000
"""Up to so many epochs the history has each of them; of more it has so many in all, denser at the beginning."""

_POINTS = 1000


class Closed:
    """The epochs of a `gdcore.training.loop.Training` with squared error, all rows, a constant lr and no l1."""

    def __init__(self, training: Any, epochs: list[int] | None) -> None:
        self.t, self.asked = training, epochs

    def begin(self) -> None:
        """The problem's eigenvectors, and where the run starts in them."""
        t = self.t
        rule = t.optimizer.parameters
        self.epochs = Epochs(t.quadratic, t.spectrum, t.lr, rule["momentum"], rule["nesterov"])
        # A resumed run goes on from where the first one began, so that fit(a) and resume(b) are fit(a + b) to the bit.
        state = t.state
        # A number for each thing that the formula depends on: another problem starts anew.
        facts = np.concatenate([self.epochs.values, [t.lr, t.quadratic.best], t.quadratic.weights.ravel()])
        if state.origin is None or not np.array_equal(state.origin[0], facts):
            buffer = None if state.memory is None else state.memory[0]
            state.origin = (facts, t.first, self.epochs.start(state.weights, state.bias, buffer))
        self.since, self.start = t.first - state.origin[1], state.origin[2]
        losses, norms = self.epochs.course(np.array([self.since]), self.start)
        t.loss, t.norm = float(losses[0]), float(norms[0])

    def some_epochs(self, left: int) -> str:
        """All of them."""
        t, began = self.t, time.perf_counter()
        points = self._points(left)
        columns, counted = t.piece(len(points), points)
        columns[0], columns[1] = self.epochs.course(points - t.first + self.since, self.start)
        bad = np.flatnonzero(~(columns[0] <= t.stop_above) | ~np.isfinite(columns[1]))
        finished = int(bad[0]) if len(bad) else len(points)
        if len(bad):
            t.jump = int(points[finished]), float(columns[0, finished])
        status = "diverged" if len(bad) else "epochs"
        if finished:
            last = int(points[finished - 1]) - t.first
            delta, u = self.epochs.after(self.since + last, self.start)
            weights, bias = self.epochs.parameters(delta)
            state = t.state.copy()
            state.weights = weights.astype(state.weights.dtype)
            state.bias = None if bias is None else bias.astype(state.weights.dtype)
            if state.memory is not None:
                state.memory[0] = self.epochs.buffer(u)
            state.steps[0] += last
            columns[2] = (time.perf_counter() - began) / finished
            t.state, counted[0] = state, finished
        return status

    def _points(self, left: int) -> Array:
        """The numbers of the epochs that the history shall have."""
        first: int = self.t.first
        if self.asked is not None:
            return np.array(self.asked, np.int64) + first
        if left <= EVERY:
            return np.arange(first + 1, first + left + 1)
        early = np.arange(1, 101)
        later = np.rint(np.geomspace(100, left, _POINTS - 99)).astype(np.int64)
        later[-1] = left
        return np.unique(np.concatenate([early, later])) + first
